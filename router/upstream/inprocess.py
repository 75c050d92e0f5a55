"""The mock provider without a socket: answers on the event loop's clock, handed over as the HTTP client would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import inf
from random import Random

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import Deployment
from router.dialects.base import Headers, WireRequest
from router.dialects.mock.behaviour import Behaviour
from router.dialects.mock.errors import rejection
from router.dialects.mock.playback import Answer, Ending, Playback
from router.dialects.mock.replies import answer, kind_of
from router.upstream.base import ChunkTaker, StreamSink, Timing, UpstreamResponse

_DEFAULT = Behaviour()
_TOO_LATE = "no complete reply before the attempt's deadline"


class MockUpstream:
    """An `Upstream` for `mock` origins. `deployment.options` is the Behaviour (None: the default one).

    Each deployment id has its own place in its script, which starts anew when the behaviour changes. `seed` makes ids
    and random failures repeatable, `wall` gives `created` in seconds since 1970.
    """

    def __init__(self, *, seed: int | None = None, wall: Callable[[], float] = time.time) -> None:
        self._rng = Random(seed)
        self._wall = wall
        self._positions: dict[str, tuple[Behaviour, int]] = {}
        self._open: set[_Call] = set()

    @property
    def in_flight(self) -> int:
        """Calls whose reply has not ended."""
        return len(self._open)

    async def send(self, wire: WireRequest, timing: Timing) -> UpstreamResponse:
        """Play the deployment's next step. Raises UpstreamFailure (DISCONNECTED, PROTOCOL, *_TIMEOUT)."""
        if asyncio.get_running_loop().time() >= timing.deadline:
            raise UpstreamFailure(FailureKind.ATTEMPT_TIMEOUT, _TOO_LATE)
        call = _Call(self._answer(wire), timing, self._open)
        try:
            return await call.response()
        except BaseException:
            call.abort()
            raise

    async def close(self) -> None:
        """End every call: those who wait, and every attached sink, see a disconnection."""
        for call in tuple(self._open):
            call.fail(UpstreamFailure(FailureKind.DISCONNECTED, "the mock upstream was closed"))

    def _answer(self, wire: WireRequest) -> Answer:
        method, _, rest = wire.head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
        kind = kind_of(path) if method == b"POST" else None
        if kind is None:
            return rejection(404, f"Invalid URL ({method.decode('latin-1')} {path})", code="not_found")
        behaviour = wire.deployment.options
        if not isinstance(behaviour, Behaviour):
            behaviour = _DEFAULT
        step = behaviour.step(self._next_position(wire.deployment, behaviour), self._rng)
        return answer(kind, wire.body, behaviour, step, self._rng, int(self._wall()))

    def _next_position(self, deployment: Deployment, behaviour: Behaviour) -> int:
        known, position = self._positions.get(deployment.id, (behaviour, 0))
        if known != behaviour:
            position = 0
        self._positions[deployment.id] = (behaviour, position + 1)
        return position


class _Call:
    """One request under way: first what `send` waits for, then (for a stream) the `BodyStream`.

    A single timer stands for the next piece or the nearest limit, whichever comes first. Paused, no piece is taken and
    silence is not upstream's, so the idle limit rests; the deadline does not.
    """

    def __init__(self, reply: Answer, timing: Timing, open_calls: set[_Call]) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._reply = reply
        self._timing = timing
        self._playback = Playback(reply, now)
        self._streams = reply.length is None and 200 <= reply.status < 300
        self._buffer: list[bytes] = []
        self._sink: StreamSink | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failure: UpstreamFailure | None = None
        self._ended = False
        self._aborted = False
        self._paused = False
        self._committed = False
        self._last_data = now
        self._open_calls = open_calls
        open_calls.add(self)
        self._tick(now)

    async def response(self) -> UpstreamResponse:
        """The whole reply, or a stream's head. Raises UpstreamFailure."""
        if self._streams:
            return UpstreamResponse(self._reply.status, self._headers(), b"", self)
        if not self._ended:
            self._waiter = self._loop.create_future()
            await self._waiter
        if self._failure is not None:
            raise self._failure
        return UpstreamResponse(self._reply.status, self._headers(), b"".join(self._buffer), None)

    def attach(self, sink: StreamSink) -> None:
        if not self._aborted:
            self._sink = sink
            self._deliver()

    def pause(self) -> None:
        self._paused = True
        self._arm()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._last_data = self._loop.time()
            self._tick(self._last_data)

    def offer(self, taker: ChunkTaker) -> None:
        """Nothing here is chunked."""

    def committed(self) -> None:
        self._committed = True
        self._last_data = self._loop.time()
        self._arm()

    def abort(self) -> None:
        self._aborted = True
        self._sink = None
        self._buffer.clear()
        self._end()

    def fail(self, failure: UpstreamFailure) -> None:
        """End the call with a failure, unless it has ended."""
        if not self._ended:
            self._failure = failure
            self._end()
            self._deliver()

    def _tick(self, at: float) -> None:
        """Take what is due and look at the limits. `at` is the moment this was meant for: timers may fire early."""
        if self._ended:
            return
        now = max(at, self._loop.time())
        pieces = [] if self._paused else self._playback.due(now)
        if pieces:
            self._last_data = now
            self._buffer += pieces
        if not self._paused and self._playback.ended and self._reply.ending is not Ending.HANG:
            self._failure = _ending_failure(self._reply)
            self._end()
        elif now >= self._limit():
            self._failure = self._timed_out(now)
            self._end()
        self._deliver()
        self._arm()

    def _deliver(self) -> None:
        """Hand the buffer, and then the end, to the sink, which may pause, resume or abort in the middle of it."""
        sink = self._sink
        if sink is None:
            return
        if self._buffer:
            data = b"".join(self._buffer)
            self._buffer.clear()
            sink.data(data)
        if self._ended and self._sink is sink:
            self._sink = None
            sink.closed(self._failure)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ended:
            return
        at = min(self._limit(), inf if self._paused else self._playback.next_at)
        if at < inf:
            self._timer = self._loop.call_at(at, self._tick, at)

    def _limit(self) -> float:
        timing = self._timing
        if not self._committed:
            return min(timing.deadline, timing.first_token)
        return timing.deadline if self._paused else min(timing.deadline, self._last_data + timing.stream_idle)

    def _timed_out(self, now: float) -> UpstreamFailure:
        if now >= self._timing.deadline:
            return UpstreamFailure(FailureKind.ATTEMPT_TIMEOUT, _TOO_LATE)
        if not self._committed:
            return UpstreamFailure(FailureKind.FIRST_TOKEN_TIMEOUT, "no token within the first-token timeout")
        idle = self._timing.stream_idle
        return UpstreamFailure(FailureKind.IDLE_TIMEOUT, f"the stream was silent for {idle:g} s")

    def _end(self) -> None:
        self._ended = True
        self._open_calls.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _headers(self) -> Headers:
        return {name.encode(): value.encode() for name, value in self._reply.headers}


def _ending_failure(reply: Answer) -> UpstreamFailure | None:
    if reply.ending is Ending.DONE:
        return None
    if reply.status == 0 and reply.sends:
        return UpstreamFailure(FailureKind.PROTOCOL, "the reply is no HTTP")
    return UpstreamFailure(FailureKind.DISCONNECTED, "the connection closed before the reply was complete")
