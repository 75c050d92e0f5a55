"""A client's request head seen before: the same bytes mean the same request, whatever the body's length.

On one connection a client sends the same head again and again, but for the digits of its content-length. aiohttp's
parser has judged the first of them; for the others a comparison of bytes is enough, and as strict: nothing but the
length may differ, so nothing can be read in two ways.
"""

from __future__ import annotations

import re
from typing import Protocol

from multidict import CIMultiDictProxy

from router.core.types import Kind

HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: ?([0-9]{1,10})\r\n", re.IGNORECASE)
_MOST_DIGITS = 10


class ParsedHead(Protocol):
    """What aiohttp's parsers make of a head, the compiled one and the other: see `RawRequestMessage`."""

    @property
    def headers(self) -> CIMultiDictProxy[str]: ...
    @property
    def should_close(self) -> bool: ...
    @property
    def chunked(self) -> bool: ...
    @property
    def compression(self) -> str | None: ...


class RepeatedHead:
    """What is the same in every request with this head. `before` and `after` are the bytes around the length."""

    __slots__ = ("after", "before", "headers", "kind")

    def __init__(self, before: bytes, after: bytes, kind: Kind, headers: CIMultiDictProxy[str]) -> None:
        self.before = before
        self.after = after
        self.kind: Kind = kind
        self.headers = headers

    def body_of(self, data: bytes) -> tuple[int, int] | None:
        """Where the body begins in `data` and how long it will be, in bytes; None for any other head."""
        before, after = self.before, self.after
        start = len(before)
        if not data.startswith(before):
            return None
        end = data.find(b"\r\n", start, start + _MOST_DIGITS + 2)
        if end <= start or not data.startswith(after, end):
            return None
        digits = data[start:end]
        return (end + len(after), int(digits)) if digits.isdigit() else None


def repeated_head(head: bytes, message: ParsedHead, kind: Kind) -> RepeatedHead | None:
    """What to compare with from now on, `head` being the bytes of `message`, its blank line included.

    None for a head with no plain length, or whose next request may be another kind of message after all.
    """
    headers = message.headers
    found = _LENGTH.search(head)
    if (
        found is None
        or message.should_close
        or message.chunked
        or message.compression is not None
        or len(headers.getall("Content-Length", ())) != 1
    ):
        return None
    return RepeatedHead(head[: found.start(1)], head[found.end(1) :], kind, headers)
