"""A stream made of another stream's frames."""

from __future__ import annotations

from abc import ABC, abstractmethod

from router.core.errors import UpstreamFailure
from router.core.types import Usage
from router.dialects.base import StreamDecoder


class TurnedStream(ABC):
    """See `StreamDecoder`. `inner` decodes upstream's bytes; `_turned` makes of its frames what the client is to get,
    and takes over how far it has come."""

    __slots__ = ("_inner", "failure", "finished", "started", "usage")

    def __init__(self, inner: StreamDecoder) -> None:
        self._inner = inner
        self.started = False
        self.finished = False
        self.failure: UpstreamFailure | None = None
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> bytes:
        return self._turned(self._inner.feed(data))

    def end(self) -> bytes:
        return self._turned(self._inner.end())

    @abstractmethod
    def _turned(self, frames: bytes) -> bytes:
        """What the client is to get for these frames."""
