"""An upstream's stream on its way to the client, and the moment from which there is no way back."""

from __future__ import annotations

import asyncio

from router.core.errors import FailureKind, UpstreamFailure
from router.core.events import Finished
from router.dialects.base import Headers, Recognises, StreamDecoder
from router.flow.exchange import Exchange, TakesChunks
from router.state.base import Lease
from router.upstream.base import BodyStream

HOLD_LIMIT = 16 * 1024
"""Bytes of frames without content held back at most, before the client's response is committed all the same."""

EVENT_END = b"\n\n"
KEEPALIVE = b": keep-alive\n\n"


class Relay:
    """Receives one stream (a `StreamSink`), decodes it and writes it on.

    Until the first content, tool or reasoning event nothing is written, so a failure up to there can be retried; from
    then on every read goes straight from one socket to the other, with no task in between. `done` gives None when the
    stream is complete, else the failure; `failure.sent_bytes` tells the two kinds of failure apart. `events` counts
    those that went to the client.
    """

    __slots__ = (
        "_decoder", "_exchange", "_held", "_is_alike", "_keepalive", "_lease", "_loop", "_record", "_silence",
        "_stream", "_upstream", "_write_chunk", "_written", "committed_at", "done", "events",
    )  # fmt: skip

    def __init__(
        self,
        stream: BodyStream,
        decoder: StreamDecoder,
        exchange: Exchange,
        record: Finished,
        upstream: Headers,
        silence: float,
        lease: Lease | None = None,
    ) -> None:
        """`silence`: seconds after which a committed stream gets a comment to keep middleboxes awake; 0: never. `lease`
        hears how far the reply has come."""
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._decoder = decoder
        self._exchange = exchange
        self._record = record
        self._upstream = upstream
        self._silence = silence
        self._lease = lease
        self._held = b""
        self._written = 0.0
        self._keepalive: asyncio.TimerHandle | None = None
        self.committed_at: float | None = None
        self.events = 0
        self.done: asyncio.Future[UpstreamFailure | None] = self._loop.create_future()

    async def run(self) -> UpstreamFailure | None:
        """Relay to the end. Cancelled, it closes the upstream socket at once."""
        try:
            self._stream.attach(self)
            return await self.done
        except BaseException:
            self._stream.abort()
            raise
        finally:
            self._exchange.hold(None)
            self._stream.resume()  # paused by a slow client, it would never come to its end
            if self._keepalive is not None:
                self._keepalive.cancel()

    def data(self, data: bytes) -> None:
        if self.done.done():
            return
        decoder = self._decoder
        frames = decoder.feed(data)
        if self.committed_at is None:
            self._held += frames
            if decoder.failure is None and (decoder.started or len(self._held) > HOLD_LIMIT):
                self._commit()
            frames = b""
        if decoder.failure is not None:
            if frames:
                self._exchange.write(frames)
            self._fail(decoder.failure)
        elif decoder.finished:
            self._complete(frames)
        elif frames:
            self._exchange.write(frames)
            self._written = self._loop.time()
            events = frames.count(EVENT_END)  # a token an event, or a little more
            self.events += events
            if self._lease is not None:
                self._lease.produced(events)

    def _pass_on(self, chunk: bytes, start: int) -> bool:
        """An event that is as the others were goes out in the very chunk that it came in."""
        if not self._is_alike(chunk, start, len(chunk) - 2):
            return False
        self._write_chunk(chunk)
        self._written = self._loop.time()
        self.events += 1
        if self._lease is not None:
            self._lease.produced(1)
        return True

    def closed(self, failure: UpstreamFailure | None) -> None:
        if self.done.done():
            return
        if failure is not None:
            self._fail(failure)
            return
        frames = self._decoder.end()
        if self.committed_at is None and self._decoder.started:
            self._held += frames
            self._commit()
            frames = b""
        if self._decoder.failure is not None:
            self._fail(self._decoder.failure)
        elif self._decoder.finished:
            self._complete(frames)
        else:
            self._fail(UpstreamFailure(FailureKind.DISCONNECTED, "ended its stream in the middle"))

    def _commit(self) -> None:
        self.committed_at = self._written = self._loop.time()
        self._stream.committed()
        if self._lease is not None:
            self._lease.answered(self.committed_at)
        frames, self._held = self._held, b""
        self.events = frames.count(EVENT_END)
        self._exchange.start(frames, self._record, self._upstream)
        self._exchange.hold(self._stream)
        decoder, exchange = self._decoder, self._exchange
        if isinstance(decoder, Recognises) and isinstance(exchange, TakesChunks):
            self._is_alike, self._write_chunk = decoder.is_alike, exchange.write_chunk
            self._stream.offer(self._pass_on)
        if self._silence:
            self._keepalive = self._loop.call_later(self._silence, self._keep_alive)

    def _complete(self, frames: bytes) -> None:
        """Upstream said that it is done; its connection ends the body by itself, and is used again."""
        if self.committed_at is None:
            self._fail(UpstreamFailure(FailureKind.BAD_REPLY, "sent an empty stream"))
            return
        self._exchange.end(frames)
        self.done.set_result(None)

    def _fail(self, failure: UpstreamFailure) -> None:
        self._stream.abort()
        failure.sent_bytes = self.committed_at is not None
        self.done.set_result(failure)

    def _keep_alive(self) -> None:
        if self.done.done():
            return
        due = self._written + self._silence
        now = self._loop.time()
        if now >= due:
            self._exchange.write(KEEPALIVE)
            self._written = now
            due = now + self._silence
        self._keepalive = self._loop.call_at(due, self._keep_alive)
