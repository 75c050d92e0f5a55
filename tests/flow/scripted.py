"""An upstream that does what a script says, within the limits of `Timing`, and keeps what it was sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import WireRequest
from router.upstream.base import ChunkTaker, StreamSink, Timing, UpstreamResponse
from tests.flow.recording import CLIENT

Piece = tuple[float, bytes]
"""Seconds after the piece before it (or after the head), and body bytes."""


class Ending(Enum):
    CLEAN = "clean"
    RESET = "reset"
    SILENT = "silent"  # the connection stays open, and nothing comes any more


@dataclass(frozen=True)
class Script:
    """How one request is answered. `connect` and `head` in seconds, infinite for never; `streams`: as an event stream.

    `whole` is whether this is a complete answer that a client of its kind can be given.
    """

    pieces: tuple[Piece, ...] = ()
    status: int = 200
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    ending: Ending = Ending.CLEAN
    streams: bool = False
    connect: float = 0.0
    refused: bool = False
    head: float = 0.0
    whole: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.pieces)


class Sent:
    """One request as it went out: for whom, and what became of it."""

    def __init__(self, wire: WireRequest, script: Script) -> None:
        self.wire = wire
        self.script = script
        self.client = CLIENT.get(None)
        self.open = True


class ScriptedUpstream:
    """`choose` gives the script of each request. `early`: how many seconds too soon its limits strike, as uvloop's may.

    `sent` are the requests in their order; `stray` counts the calls that no stream should see.
    """

    def __init__(self, choose: Callable[[WireRequest], Script], early: float = 0.0) -> None:
        self._choose = choose
        self._early = early
        self.sent: list[Sent] = []
        self.streams: list[ScriptedStream] = []
        self.stray: Counter[str] = Counter()

    async def send(self, wire: WireRequest, timing: Timing) -> UpstreamResponse:
        script = self._choose(wire)
        sent = Sent(wire, script)
        self.sent.append(sent)
        try:
            response = await self._respond(script, timing, sent)
        except BaseException:
            sent.open = False
            raise
        if response.stream is None:
            sent.open = False
        return response

    async def close(self) -> None:
        """Nothing is kept."""

    async def _respond(self, script: Script, timing: Timing, sent: Sent) -> UpstreamResponse:
        now = asyncio.get_running_loop().time()
        first_token = (timing.first_token, FailureKind.FIRST_TOKEN_TIMEOUT)
        limit = min((timing.deadline, FailureKind.ATTEMPT_TIMEOUT), first_token)
        await self._wait(script.connect, min(limit, (now + timing.connect, FailureKind.CONNECT)))
        if script.refused:
            raise UpstreamFailure(FailureKind.CONNECT, "refused the connection")
        await self._wait(script.head, limit)
        if script.streams:
            stream = ScriptedStream(script, timing, self._early, sent)
            self.streams.append(stream)
            return UpstreamResponse(script.status, script.headers, b"", stream)
        await self._wait(sum(after for after, _ in script.pieces), limit)
        if script.ending is Ending.RESET:
            raise UpstreamFailure(FailureKind.DISCONNECTED, "closed in the middle of a response")
        if script.ending is Ending.SILENT:
            await self._wait(inf, limit)
        return UpstreamResponse(script.status, script.headers, script.body, None)

    async def _wait(self, seconds: float, limit: tuple[float, FailureKind]) -> None:
        now = asyncio.get_running_loop().time()
        moment, kind = limit
        if now + seconds < moment:
            await asyncio.sleep(seconds)
            return
        await asyncio.sleep(max(moment - self._early - now, 0.0))
        raise UpstreamFailure(kind, kind.value)


class ScriptedStream:
    """A `BodyStream` on its script's schedule. Paused, it hands nothing over, and silence does not count."""

    def __init__(self, script: Script, timing: Timing, early: float, sent: Sent) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces = list(script.pieces)
        self._ending = script.ending
        self._timing = timing
        self._early = early
        self._sent = sent
        self._sink: StreamSink | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._playing = False
        self._last = self._loop.time()
        self._next_at = self._last + (self._pieces[0][0] if self._pieces else 0.0)
        self.paused = False
        self.aborted = False
        self.told_committed = 0

    @property
    def open(self) -> bool:
        return self._sent.open

    def offer(self, taker: ChunkTaker) -> None:
        """Nothing here is chunked."""

    def attach(self, sink: StreamSink) -> None:
        assert self._sink is None, "a stream has one sink"
        if self.open:
            self._sink = sink
            self._play()

    def pause(self) -> None:
        self.paused = True
        self._play()

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self._last = self._loop.time()
            self._play()

    def committed(self) -> None:
        self.told_committed += 1
        self._last = self._loop.time()
        self._play()

    def abort(self) -> None:
        self.aborted = True
        self._close()

    def _play(self) -> None:
        """Hand over what is due, end where the end is due, and be called again for what comes next."""
        if self._playing or not self.open or self._sink is None:
            return
        self._playing = True
        try:
            self._hand_over(self._sink)
        finally:
            self._playing = False
        if not self.open:
            return
        if not self._pieces and not self.paused and self._ending is not Ending.SILENT:
            reset = UpstreamFailure(FailureKind.DISCONNECTED, "closed in the middle of a response")
            self._end(reset if self._ending is Ending.RESET else None)
            return
        moment, kind = self._limit()
        if moment - self._early <= self._loop.time() + 1e-9:
            self._end(UpstreamFailure(kind, kind.value))
            return
        if self._timer is not None:
            self._timer.cancel()
        at = moment - self._early
        if self._pieces and not self.paused:
            at = min(at, self._next_at)
        self._timer = self._loop.call_at(at, self._play)

    def _hand_over(self, sink: StreamSink) -> None:
        while self.open and not self.paused and self._pieces and self._next_at <= self._loop.time() + 1e-9:
            data = self._pieces.pop(0)[1]
            self._last = self._loop.time()
            if self._pieces:
                self._next_at += self._pieces[0][0]
            sink.data(data)

    def _limit(self) -> tuple[float, FailureKind]:
        deadline = (self._timing.deadline, FailureKind.ATTEMPT_TIMEOUT)
        if not self.told_committed:
            return min(deadline, (self._timing.first_token, FailureKind.FIRST_TOKEN_TIMEOUT))
        if self.paused:
            return deadline
        return min(deadline, (self._last + self._timing.stream_idle, FailureKind.IDLE_TIMEOUT))

    def _end(self, failure: UpstreamFailure | None) -> None:
        sink = self._sink
        self._close()
        if sink is not None:
            sink.closed(failure)

    def _close(self) -> None:
        self._sent.open = False
        self._sink = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
