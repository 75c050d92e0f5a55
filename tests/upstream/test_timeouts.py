"""Which limit passes, when, and what it leaves: nothing."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.upstream.base import BodyStream, Timing
from router.upstream.client import HttpUpstream
from tests.upstream.scripted import (
    LAST,
    OK,
    REQUEST,
    SSE,
    Listener,
    ScriptedNetwork,
    Step,
    armed,
    chunk,
    stream_of,
    timing,
    whole,
)
from tests.virtual_time import virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


def nothing_is_left(network: ScriptedNetwork, upstream: HttpUpstream) -> None:
    assert network.open == 0
    assert repr(upstream.pool) == "<Pool empty>"
    assert armed() == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def heard(upstream: HttpUpstream, limits: Timing) -> tuple[BodyStream, Listener]:
    """A stream under way, and who listens to it."""
    stream = stream_of(await upstream.send(REQUEST, limits))
    listener = Listener()
    stream.attach(listener)
    return stream, listener


async def fails(listener: Listener, kind: FailureKind, at: float) -> None:
    failure = await listener.end
    assert failure is not None
    assert failure.kind is kind
    assert now() == pytest.approx(at)


C, A, F = FailureKind.CONNECT, FailureKind.ATTEMPT_TIMEOUT, FailureKind.FIRST_TOKEN_TIMEOUT
PINGS: list[Step] = [1.0, chunk(b": ping\n\n")] * 100
EVENTS: list[Step] = [9.0, chunk(b"2")] * 50
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("limits", "kind", "after"),
    [
        ((300, 5, inf), C, 5),
        ((300, 5, 60), C, 5),
        ((3, 5, inf), A, 3),
        ((3, 5, 4), A, 3),
        ((300, 5, 4), F, 4),
    ],
)
@virtual_time
async def test_connecting_takes_no_longer_than_any_limit(
    limits: tuple[float, float, float], kind: FailureKind, after: float
) -> None:
    network = ScriptedNetwork(1000.0)
    upstream = HttpUpstream(dial=network)
    attempt, connect, first_token = limits
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(REQUEST, timing(attempt, connect=connect, first_token=first_token))
    assert caught.value.kind is kind
    assert now() == pytest.approx(1000 + after)
    nothing_is_left(network, upstream)


@pytest.mark.parametrize("steps", [[], [HEAD], [HEAD, 2.0, b"o"], [b"HTTP/1.1 103 Hints\r\n\r\n"], [SSE], [SSE[:9]]])
@pytest.mark.parametrize(("first_token", "kind", "after"), [(inf, A, 30), (60, A, 30), (30, A, 30), (10, F, 10)])
@virtual_time
async def test_a_reply_takes_no_longer_than_attempt_and_first_token_allow(
    steps: list[Step], first_token: float, kind: FailureKind, after: float
) -> None:
    network = ScriptedNetwork([[1.0, *steps]])
    upstream = HttpUpstream(dial=network)

    async def send() -> bytes:
        return await whole(await upstream.send(REQUEST, timing(30, first_token=first_token)))

    with pytest.raises(UpstreamFailure) as caught:
        await send()
    assert caught.value.kind is kind
    assert now() == pytest.approx(1000 + after)
    nothing_is_left(network, upstream)


@virtual_time
async def test_pings_before_the_first_token_do_not_put_off_its_limit() -> None:
    network = ScriptedNetwork([[SSE, *PINGS]])
    upstream = HttpUpstream(dial=network)
    _, listener = await heard(upstream, timing(300, first_token=10.5))
    await fails(listener, F, at=1010.5)
    assert listener.text == b": ping\n\n" * 10
    nothing_is_left(network, upstream)


@virtual_time
async def test_once_committed_only_silence_counts() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"1"), *EVENTS[:10], 100.0, LAST]])
    upstream = HttpUpstream(dial=network)
    stream, listener = await heard(upstream, timing(300, first_token=5, stream_idle=10))
    stream.committed()
    await fails(listener, FailureKind.IDLE_TIMEOUT, at=1000 + 45 + 10)
    assert listener.text == b"122222"
    nothing_is_left(network, upstream)


@virtual_time
async def test_the_deadline_holds_for_a_stream_that_keeps_talking() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"1"), *EVENTS, LAST]])
    upstream = HttpUpstream(dial=network)
    stream, listener = await heard(upstream, timing(100, first_token=5, stream_idle=10))
    stream.committed()
    await fails(listener, A, at=1100)
    nothing_is_left(network, upstream)


@virtual_time
async def test_silence_while_the_client_is_slow_is_not_held_against_upstream() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"1"), 5.0, chunk(b"2"), 8.0, LAST], [OK]])
    upstream = HttpUpstream(dial=network)
    stream, listener = await heard(upstream, timing(300, first_token=5, stream_idle=10))
    stream.committed()
    stream.pause()
    await asyncio.sleep(100)
    assert not listener.end.done()
    stream.resume()
    assert await listener.end is None
    assert listener.text == b"12"
    await upstream.close()
    nothing_is_left(network, upstream)


@virtual_time
async def test_the_deadline_holds_while_the_client_is_slow() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"1"), inf]])
    upstream = HttpUpstream(dial=network)
    stream, listener = await heard(upstream, timing(50, first_token=5, stream_idle=10))
    stream.committed()
    stream.pause()
    await fails(listener, A, at=1050)
    nothing_is_left(network, upstream)


@virtual_time
async def test_after_a_pause_silence_counts_from_its_end() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"1"), inf]])
    upstream = HttpUpstream(dial=network)
    stream, listener = await heard(upstream, timing(500, first_token=5, stream_idle=10))
    stream.committed()
    await asyncio.sleep(6)
    stream.pause()
    await asyncio.sleep(100)
    stream.resume()
    await fails(listener, FailureKind.IDLE_TIMEOUT, at=1116)


@virtual_time
async def test_a_stream_nobody_takes_is_closed_when_its_limit_passes() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"1"), inf]])
    upstream = HttpUpstream(dial=network)
    response = await upstream.send(REQUEST, timing(300, first_token=10))
    await asyncio.sleep(11)
    nothing_is_left(network, upstream)
    listener = Listener()
    stream_of(response).attach(listener)
    assert listener.text == b"1"
    failure = await listener.end
    assert failure is not None
    assert failure.kind is F


@virtual_time
async def test_limits_of_one_request_are_not_the_next_one_s() -> None:
    network = ScriptedNetwork([[OK], [20.0, OK], [8.0, OK]])
    upstream = HttpUpstream(dial=network)
    await upstream.send(REQUEST, timing(10))
    await upstream.send(REQUEST, timing(300))
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(REQUEST, timing(5))
    assert caught.value.kind is A
    assert now() == pytest.approx(1025)
    nothing_is_left(network, upstream)


@virtual_time
async def test_a_deadline_that_has_passed_already_is_noticed_at_once() -> None:
    network = ScriptedNetwork([[OK], [1.0, OK]], 1.0)
    upstream = HttpUpstream(dial=network)
    await upstream.send(REQUEST, timing(10))
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(REQUEST, timing(-1))
    assert caught.value.kind is A
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(REQUEST, timing(-1))
    assert caught.value.kind is A
    assert now() == pytest.approx(1000)
    nothing_is_left(network, upstream)


@virtual_time
async def test_what_one_stream_was_the_next_one_is_not() -> None:
    """Committed and paused at its end, a stream hands its connection on as if it had been neither."""

    class Pausing(Listener):
        def data(self, data: bytes) -> None:
            super().data(data)
            stream.pause()

    network = ScriptedNetwork([[SSE, 1.0, chunk(b"a") + LAST], [SSE, 5.0, chunk(b"b"), inf]], [[SSE, inf]])
    upstream = HttpUpstream(dial=network)
    stream = stream_of(await upstream.send(REQUEST, timing(first_token=10)))
    pausing = Pausing()
    stream.attach(pausing)
    stream.committed()
    assert await pausing.end is None

    stream, listener = await heard(upstream, timing(first_token=10, stream_idle=20))
    stream.committed()
    await fails(listener, FailureKind.IDLE_TIMEOUT, at=1001 + 5 + 20)
    assert network.dials == 1
    nothing_is_left(network, upstream)


@virtual_time
async def test_after_a_committed_stream_the_first_token_of_the_next_one_is_waited_for_as_ever() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"a"), 1.0, LAST], [SSE, inf]])
    upstream = HttpUpstream(dial=network)
    stream, listener = await heard(upstream, timing(first_token=10))
    stream.committed()
    assert await listener.end is None
    stream, listener = await heard(upstream, timing(first_token=10, stream_idle=100))
    await fails(listener, F, at=1001 + 10)
    nothing_is_left(network, upstream)


@pytest.mark.parametrize("stream_idle", [1, 100])
@virtual_time
async def test_a_pause_before_the_first_token_does_not_put_off_its_limit(stream_idle: float) -> None:
    network = ScriptedNetwork([[SSE, inf]])
    upstream = HttpUpstream(dial=network)
    stream, listener = await heard(upstream, timing(first_token=10, stream_idle=stream_idle))
    stream.pause()
    await asyncio.sleep(5)
    stream.resume()
    await fails(listener, F, at=1010)
