"""Requests that are served inline, and which those are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDictProxy

from router.core.types import Kind

_MESSAGE: Any = RawRequestMessage
"""The compiled parser's is no named tuple, as its type says."""


class Hot:
    """A request to be served inline. `body` is whole, or still coming."""

    __slots__ = ("body", "headers", "keep_alive", "kind")

    def __init__(
        self, kind: Kind, headers: CIMultiDictProxy[str], body: bytes | StreamReader, keep_alive: bool
    ) -> None:
        self.kind: Kind = kind
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive


def hot_kind(message: object, hot: Mapping[str, Kind]) -> Kind | None:
    """What a parsed message asks for, where it is a plain POST to a hot path."""
    if not isinstance(message, _MESSAGE):
        return None  # a parse error
    parsed: Any = message
    if parsed.method == "POST" and parsed.version == HttpVersion11 and not parsed.upgrade:
        return hot.get(parsed.path) if "Expect" not in parsed.headers else None
    return None
