"""Messages of AWS' binary event streams, as its services write them."""

from __future__ import annotations

from struct import pack
from zlib import crc32


def message(headers: dict[str, str], payload: bytes) -> bytes:
    told = b"".join(
        pack(">B", len(name)) + name.encode() + b"\x07" + pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    start = pack(">II", 16 + len(told) + len(payload), len(told))
    body = start + pack(">I", crc32(start)) + told + payload
    return body + pack(">I", crc32(body))


def event(payload: bytes) -> bytes:
    return message(
        {":event-type": "PayloadPart", ":content-type": "application/octet-stream", ":message-type": "event"}, payload
    )


def exception(name: str, payload: bytes) -> bytes:
    return message(
        {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}, payload
    )
