"""Cancelled at any await, in any turn of the loop: the socket is closed at once, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from router.core.errors import UpstreamFailure
from router.dialects.base import Origin
from router.upstream.client import HttpUpstream
from router.upstream.counters import CloseReason
from router.upstream.plug import Receiver
from tests.upstream.scripted import (
    EOF,
    LAST,
    OK,
    REQUEST,
    RESET,
    SSE,
    Listener,
    ScriptedNetwork,
    ScriptedTransport,
    Step,
    armed,
    chunk,
    fetch,
    settle,
    stream_of,
    timing,
)
from tests.virtual_time import virtual_time


class SlowNetwork(ScriptedNetwork):
    """Takes a few turns of the loop before and after the connection is there."""

    async def __call__(self, origin: Origin, receiver: Receiver) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await super().__call__(origin, receiver)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        except BaseException:
            self.transports[-1].abort()
            raise


def clean(network: ScriptedNetwork, upstream: HttpUpstream, idle: int) -> None:
    expected = f"<Pool http://upstream.test:80 {idle} idle, 0 busy>" if idle else "<Pool empty>"
    assert repr(upstream.pool) == expected
    assert network.open == idle
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(armed()) <= idle
    counters = upstream.counters
    assert counters.opened - sum(counters.closed.values()) == idle


FRESH: dict[str, list[Sequence[Sequence[Step]]]] = {
    "a whole reply": [[[OK]]],
    "a reply in pieces": [[[OK[:10], OK[10:40], OK[40:]]]],
    "a stream": [[[SSE, chunk(b"a"), chunk(b"b"), LAST]]],
    "a stream in one read": [[[SSE + chunk(b"a") + LAST]]],
    "a reply that closes": [[[b"HTTP/1.1 200 OK\r\n\r\nok", EOF]]],
    "a reply that breaks": [[[OK[:10], RESET]]],
    "nonsense": [[[b"nonsense"]]],
    "silence": [[[]]],
}


@pytest.mark.parametrize("connections", FRESH.values(), ids=FRESH)
@virtual_time
async def test_cancelled_in_any_turn_a_request_on_a_fresh_connection_leaves_nothing(
    connections: list[Sequence[Sequence[Step]]],
) -> None:
    outcomes = []
    for turns in range(40):
        network = SlowNetwork(*connections)
        upstream = HttpUpstream(dial=network)
        task = asyncio.create_task(fetch(network, upstream))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        # The socket is gone in the very turn in which the cancellation arrives.
        try:
            await task
            outcomes.append("done")
        except asyncio.CancelledError:
            outcomes.append("cancelled")
            assert network.open == len(list(upstream.pool))
        except UpstreamFailure:
            outcomes.append("failed")
        await settle()
        clean(network, upstream, len(list(upstream.pool)))
        await upstream.close()
        clean(network, upstream, 0)
    assert outcomes[0] == "cancelled"
    assert "cancelled" in outcomes[7:]
    if connections != FRESH["silence"]:
        assert outcomes[-1] in ("done", "failed")


@virtual_time
async def test_cancelled_in_any_turn_a_request_on_a_reused_connection_leaves_nothing() -> None:
    for turns in range(20):
        network = ScriptedNetwork([[OK], [SSE, chunk(b"a"), 100.0]])
        upstream = HttpUpstream(dial=network)
        await fetch(network, upstream)
        task = asyncio.create_task(fetch(network, upstream))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settle()
        clean(network, upstream, 0 if turns else 1)
        await upstream.close()


@pytest.mark.parametrize("end", [EOF, RESET])
@virtual_time
async def test_cancelled_in_any_turn_the_replacement_of_a_stale_connection_leaves_nothing(end: Step) -> None:
    for turns in range(30):
        network = SlowNetwork([[OK], [end]], [[OK[:10], OK[10:]]])
        upstream = HttpUpstream(dial=network)
        await fetch(network, upstream)
        task = asyncio.create_task(fetch(network, upstream))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await settle()
        clean(network, upstream, len(list(upstream.pool)))
        await upstream.close()
        clean(network, upstream, 0)


@virtual_time
async def test_cancelled_while_waiting_the_socket_is_aborted_not_drained() -> None:
    network = ScriptedNetwork([[OK[:10]]])
    upstream = HttpUpstream(dial=network)
    task = asyncio.create_task(upstream.send(REQUEST, timing()))
    await settle()
    task.cancel()
    await asyncio.sleep(0)
    assert network.transports[0].ending == "aborted"
    assert upstream.counters.closed[CloseReason.CANCELLED] == 1
    with pytest.raises(asyncio.CancelledError):
        await task


@virtual_time
async def test_cancelled_after_the_reply_has_come_but_before_anyone_looked_the_connection_is_still_good() -> None:
    network = ScriptedNetwork([[], [OK]])
    upstream = HttpUpstream(dial=network)
    task = asyncio.create_task(upstream.send(REQUEST, timing()))
    await settle()
    loop = asyncio.get_running_loop()
    loop.call_soon(network.transports[0].receive, OK)
    loop.call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    clean(network, upstream, 1)
    await fetch(network, upstream)
    assert network.dials == 1
    await upstream.close()


@virtual_time
async def test_cancelled_after_a_stream_has_begun_but_before_anyone_took_it_the_socket_is_closed() -> None:
    network = ScriptedNetwork([[]])
    upstream = HttpUpstream(dial=network)
    task = asyncio.create_task(upstream.send(REQUEST, timing()))
    await settle()
    loop = asyncio.get_running_loop()
    loop.call_soon(network.transports[0].receive, SSE + chunk(b"a"))
    loop.call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    clean(network, upstream, 0)


@pytest.mark.parametrize("late", [OK, SSE + chunk(b"a"), b"nonsense"])
@virtual_time
async def test_what_arrives_between_cancellation_and_its_delivery_goes_nowhere(late: bytes) -> None:
    network = ScriptedNetwork([[]])
    upstream = HttpUpstream(dial=network)
    task = asyncio.create_task(upstream.send(REQUEST, timing()))
    await settle()
    task.cancel()
    network.transports[0].receive(late)
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle()
    clean(network, upstream, len(list(upstream.pool)))
    await upstream.close()


@virtual_time
async def test_a_coroutine_thrown_away_in_the_middle_closes_its_socket() -> None:
    network = ScriptedNetwork([[]])
    upstream = HttpUpstream(dial=network)
    coroutine = upstream.send(REQUEST, timing())
    coroutine.send(None)
    coroutine.close()
    await settle()
    clean(network, upstream, 0)


@virtual_time
async def test_an_aborted_stream_closes_its_socket_at_once_and_its_sink_hears_no_more() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"a"), 1.0, chunk(b"b"), LAST]])
    upstream = HttpUpstream(dial=network)
    stream = stream_of(await upstream.send(REQUEST, timing()))
    listener = Listener()
    stream.attach(listener)
    stream.abort()
    assert network.open == 0
    stream.abort()
    stream.pause()
    stream.resume()
    stream.committed()
    await asyncio.sleep(10)
    assert (listener.heard, listener.end.done()) == ([b"a"], False)
    clean(network, upstream, 0)


@virtual_time
async def test_a_sink_may_abort_from_within() -> None:
    class Fed(Listener):
        def data(self, data: bytes) -> None:
            super().data(data)
            stream.abort()

    scripts: list[list[Step]] = [
        [SSE + chunk(b"a") + LAST],
        [SSE, 1.0, chunk(b"a") + LAST],
        [SSE, 1.0, chunk(b"a"), RESET],
    ]
    for steps in scripts:
        network = ScriptedNetwork([steps])
        upstream = HttpUpstream(dial=network)
        stream = stream_of(await upstream.send(REQUEST, timing()))
        sink = Fed()
        stream.attach(sink)
        await asyncio.sleep(10)
        assert (sink.heard, sink.end.done()) == ([b"a"], False)
        await upstream.close()
        clean(network, upstream, 0)


@virtual_time
async def test_a_stream_aborted_before_it_was_attached_never_calls_its_sink() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"a"), LAST]])
    upstream = HttpUpstream(dial=network)
    stream = stream_of(await upstream.send(REQUEST, timing()))
    stream.abort()
    listener = Listener()
    stream.attach(listener)
    await settle()
    assert (listener.heard, listener.end.done()) == ([], False)
    clean(network, upstream, 0)


class Stuck(ScriptedTransport):
    """What it has to send before it can close is never taken."""

    def close(self) -> None:
        self.ending = "closed"

    def abort(self) -> None:
        self.ending = None
        super().abort()


@virtual_time
async def test_closing_the_client_waits_for_no_connection_that_was_closed_before() -> None:
    transports = []

    async def dial(origin: Origin, receiver: Receiver) -> None:
        transports.append(Stuck(receiver, [[OK]]))

    upstream = HttpUpstream(dial=dial)
    await upstream.send(REQUEST, timing())
    for connection in upstream.pool:
        connection.expired()
    await settle()
    assert transports[0].open
    await upstream.close()
    assert not transports[0].open
