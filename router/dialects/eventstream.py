"""AWS' binary event streams (`application/vnd.amazon.eventstream`): messages out of bytes cut anywhere.

A message is its length and its headers' length (4 bytes each, big-endian), a CRC-32 of those, headers, payload, and a
CRC-32 of everything before it. A header is its name behind a length byte, a byte for its type, and its value; those
that matter here are strings (type 7), behind a length of 2 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from
from typing import NamedTuple
from zlib import crc32

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes: AWS' own limit of a message."""
_PRELUDE = 12
_STRING = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type, where they are fixed."""
_COUNTED = (6, 7)


class BadEventStream(ValueError):
    """Bytes that are no message, or a damaged one."""


class Message(NamedTuple):
    """`headers` are those of type string."""

    headers: dict[str, str]
    payload: bytes


class EventStreamSplitter:
    """`feed` yields whole messages. Raises BadEventStream."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def incomplete(self) -> bool:
        """The bytes so far end in the middle of a message."""
        return bool(self._rest)

    def feed(self, data: bytes) -> Iterator[Message]:
        buffer = self._rest + data
        at = 0
        while len(buffer) - at >= _PRELUDE:
            total, size, check = unpack_from(">III", buffer, at)
            if check != crc32(buffer[at : at + 8]) or not _PRELUDE + 4 + size <= total <= MAX_MESSAGE:
                raise BadEventStream("a message's prelude is damaged")
            if len(buffer) - at < total:
                break
            message = buffer[at : at + total]
            at += total
            self._rest = buffer[at:]
            if unpack_from(">I", message, total - 4)[0] != crc32(message[:-4]):
                raise BadEventStream("a message is damaged")
            yield Message(_headers(message[_PRELUDE : _PRELUDE + size]), message[_PRELUDE + size : -4])
        self._rest = buffer[at:]


def _headers(data: bytes) -> dict[str, str]:
    found = {}
    at = 0
    try:
        while at < len(data):
            name = data[at + 1 : at + 1 + data[at]].decode()
            at += 1 + data[at]
            kind = data[at]
            at += 1
            if kind in _COUNTED:
                (size,) = unpack_from(">H", data, at)
                at += 2
            else:
                size = _SIZES[kind]
            if kind == _STRING:
                found[name] = data[at : at + size].decode()
            at += size
    except (IndexError, KeyError, ValueError):
        raise BadEventStream("a message's headers are damaged") from None
    return found
