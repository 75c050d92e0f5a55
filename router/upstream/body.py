"""A streamed response body, between the connection that reads it and the sink that wants it."""

from __future__ import annotations

from typing import Protocol

from router.core.errors import UpstreamFailure
from router.upstream.base import ChunkTaker, StreamSink


class Source(Protocol):
    """What a body needs of its connection."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def commit(self) -> None: ...
    def cancel(self) -> None: ...


class Body:
    """`BodyStream` over one connection, which it lets go of at the end: a late call never reaches the next exchange.

    Until a sink is attached, at most `limit` bytes and one read are held.
    """

    __slots__ = ("_aborted", "_ended", "_failure", "_full", "_held", "_limit", "_paused", "_sink", "_size", "_source",
                 "chunk")  # fmt: skip

    def __init__(self, source: Source, limit: int) -> None:
        self._source: Source | None = source
        self._limit = limit
        self._sink: StreamSink | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._full = False
        self._paused = False
        self._aborted = False
        self._ended = False
        self._failure: UpstreamFailure | None = None
        self.chunk: ChunkTaker = _not_taken

    # For the reader of the body: router.upstream.base.BodyStream.

    def attach(self, sink: StreamSink) -> None:
        assert self._sink is None, "a body has one sink"
        self._sink = sink
        held, self._held = b"".join(self._held), []
        if held:
            sink.data(held)
        if self._full:
            self._full = False
            if not self._paused and self._source is not None:
                self._source.resume()
        if self._ended and not self._aborted:
            sink.closed(self._failure)

    def pause(self) -> None:
        if self._source is not None:
            self._paused = True
            self._source.pause()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self._full and self._source is not None:
                self._source.resume()

    def offer(self, taker: ChunkTaker) -> None:
        self.chunk = taker

    def committed(self) -> None:
        if self._source is not None:
            self._source.commit()

    def abort(self) -> None:
        self._aborted = True
        self._held = []
        self._sink = None
        self.chunk = _not_taken
        source, self._source = self._source, None
        if source is not None:
            source.cancel()

    # For the connection.

    def feed(self, data: bytes) -> None:
        """Bytes, in order."""
        if self._sink is not None:
            self._sink.data(data)
            return
        self._held.append(data)
        self._size += len(data)
        if self._size > self._limit and not self._full and self._source is not None:
            self._full = True
            self._source.pause()

    def end(self, failure: UpstreamFailure | None) -> None:
        """The last call: the connection is free, or gone."""
        self._source = None
        self._ended = True
        self._failure = failure
        if self._sink is not None:
            self._sink.closed(failure)


def _not_taken(data: bytes, start: int) -> bool:
    return False
