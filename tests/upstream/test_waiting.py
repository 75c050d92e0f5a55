"""A limit on connections per origin, and a queue of those for whom there is no room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.upstream.client import HttpUpstream
from router.upstream.connection import Connection
from router.upstream.counters import CloseReason
from router.upstream.pool import Shelf
from tests.upstream.scripted import (
    EOF,
    LAST,
    OK,
    REQUEST,
    SSE,
    Listener,
    ScriptedNetwork,
    Step,
    armed,
    chunk,
    settle,
    stream_of,
    timing,
)
from tests.virtual_time import virtual_time


def limited(network: ScriptedNetwork, max_open: int = 1) -> HttpUpstream:
    return HttpUpstream(dial=network, max_open=max_open)


async def ask(upstream: HttpUpstream, answered: list[int], number: int, connect: float = 100.0) -> None:
    await upstream.send(REQUEST, timing(connect=connect))
    answered.append(number)


def when_given(upstream: HttpUpstream, act: Callable[[Connection | None], object]) -> None:
    """Do this at the very moment the first who waits is given something, before he knows."""
    pool = upstream.pool
    give = pool._give

    def given(shelf: Shelf[Connection], connection: Connection | None) -> bool:
        pool._give = give  # type: ignore[method-assign]
        result = give(shelf, connection)
        act(connection)
        return result

    pool._give = given  # type: ignore[method-assign]


@virtual_time
async def test_who_comes_first_is_served_first_and_nobody_pipelines() -> None:
    network = ScriptedNetwork([[1.0, OK]] * 5)
    upstream = limited(network)
    answered: list[int] = []
    tasks = []
    for number in range(5):
        tasks.append(asyncio.create_task(ask(upstream, answered, number)))
        await settle()
    assert repr(upstream.pool) == "<Pool http://upstream.test:80 0 idle, 1 busy, 4 waiting>"
    for done in range(5):
        assert sum(data.startswith(b"POST") for data in network.transports[0].sent) == done + 1
        await asyncio.sleep(1.01)
        assert answered == list(range(done + 1))
    await asyncio.gather(*tasks)
    assert (network.dials, upstream.counters.waited, upstream.counters.reused) == (1, 4, 4)
    await upstream.close()


@virtual_time
async def test_connections_being_opened_count() -> None:
    network = ScriptedNetwork(5.0, 5.0)
    upstream = limited(network, 2)
    tasks = [asyncio.create_task(upstream.send(REQUEST, timing())) for _ in range(3)]
    await settle()
    assert network.dials == 2
    assert repr(upstream.pool) == "<Pool http://upstream.test:80 0 idle, 0 busy, 2 opening, 1 waiting>"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert repr(upstream.pool) == "<Pool empty>"
    await upstream.close()


@pytest.mark.parametrize("end", [[EOF], [b"nonsense"], [OK + b"x"], [OSError("down")], [2.0, EOF]])
@virtual_time
async def test_a_connection_that_is_lost_makes_room_for_the_next(end: list[Step | Exception]) -> None:
    first = end[0] if isinstance(end[0], Exception) else [end]
    network = ScriptedNetwork(first, [[OK]])  # type: ignore[arg-type]
    upstream = limited(network)
    lost, served = await asyncio.gather(
        upstream.send(REQUEST, timing()), upstream.send(REQUEST, timing()), return_exceptions=True
    )
    assert isinstance(lost, BaseException) or lost.body == b"ok"
    assert not isinstance(served, BaseException)
    assert (served.body, network.dials) == (b"ok", 2)
    await upstream.close()


@virtual_time
async def test_the_end_of_a_stream_hands_its_connection_on() -> None:
    network = ScriptedNetwork([[SSE, chunk(b"a"), 3.0, LAST], [OK]])
    upstream = limited(network)
    listener = Listener()
    stream_of(await upstream.send(REQUEST, timing())).attach(listener)
    assert (await upstream.send(REQUEST, timing())).body == b"ok"
    assert listener.end.done()
    await upstream.close()


@virtual_time
async def test_waiting_is_part_of_connecting_and_ends_with_its_limit() -> None:
    network = ScriptedNetwork([[10.0, OK]])
    upstream = limited(network)
    task = asyncio.create_task(upstream.send(REQUEST, timing()))
    await settle()
    began = asyncio.get_running_loop().time()
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(REQUEST, timing(connect=2.0))
    assert (caught.value.kind, str(caught.value)) == (FailureKind.CONNECT, "no free connection")
    assert asyncio.get_running_loop().time() - began == pytest.approx(2.0)
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(REQUEST, timing(1.0))
    assert caught.value.kind is FailureKind.ATTEMPT_TIMEOUT
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(REQUEST, timing(first_token=1.0))
    assert caught.value.kind is FailureKind.FIRST_TOKEN_TIMEOUT
    assert (await task).body == b"ok"
    assert repr(upstream.pool) == "<Pool http://upstream.test:80 1 idle, 0 busy>"
    await upstream.close()


@virtual_time
async def test_what_is_left_of_the_limit_is_for_connecting() -> None:
    network = ScriptedNetwork([[3.0, EOF]], 10.0)
    upstream = limited(network)
    first = asyncio.create_task(upstream.send(REQUEST, timing()))
    await settle()
    with pytest.raises(UpstreamFailure, match="connect timed out"):
        await upstream.send(REQUEST, timing(connect=4.0))
    assert asyncio.get_running_loop().time() == pytest.approx(1004.0)
    with pytest.raises(UpstreamFailure):
        await first
    await upstream.close()


@virtual_time
async def test_who_is_cancelled_leaves_the_queue() -> None:
    network = ScriptedNetwork([[5.0, OK], [OK]])
    upstream = limited(network)
    answered: list[int] = []
    tasks = [asyncio.create_task(ask(upstream, answered, number)) for number in range(3)]
    await settle()
    tasks[1].cancel()
    await settle()
    assert repr(upstream.pool) == "<Pool http://upstream.test:80 0 idle, 1 busy, 1 waiting>"
    await asyncio.gather(tasks[0], tasks[2])
    assert answered == [0, 2]
    await upstream.close()


@pytest.mark.interpreted
@pytest.mark.parametrize("given", ["a connection", "room"])
@virtual_time
async def test_who_is_cancelled_at_the_moment_of_being_served_passes_it_on(given: str) -> None:
    network = ScriptedNetwork([[1.0, OK] if given == "a connection" else [1.0, EOF], [OK]], [[OK]])
    upstream = limited(network)
    answered: list[int] = []
    tasks = [asyncio.create_task(ask(upstream, answered, number)) for number in range(3)]
    await settle()
    when_given(upstream, lambda _: tasks[1].cancel())
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert answered[-1] == 2
    assert repr(upstream.pool) == "<Pool http://upstream.test:80 1 idle, 0 busy>"
    await upstream.close()
    assert network.open == 0


@pytest.mark.interpreted
@virtual_time
async def test_a_connection_that_closes_on_its_way_to_who_waited_costs_nobody_his_place() -> None:
    network = ScriptedNetwork([[1.0, OK]], [[OK], [OK]])
    upstream = limited(network)
    answered: list[int] = []
    tasks = [asyncio.create_task(ask(upstream, answered, number)) for number in range(3)]
    await settle()

    def closing(connection: Connection | None) -> None:
        assert connection is not None
        connection.close(CloseReason.SERVER)

    when_given(upstream, closing)
    await asyncio.gather(*tasks)
    assert sorted(answered) == [0, 1, 2]
    assert network.dials == 2
    await upstream.close()


@virtual_time
async def test_a_stale_connection_at_the_limit_is_replaced_by_a_fresh_one_all_the_same() -> None:
    network = ScriptedNetwork([[OK], [1.0, EOF]], [[OK]], [[OK]])
    upstream = limited(network)
    await upstream.send(REQUEST, timing())
    tasks = [asyncio.create_task(upstream.send(REQUEST, timing())) for _ in range(2)]
    for response in await asyncio.gather(*tasks):
        assert response.body == b"ok"
    # The second to ask had the room of the stale one; his connection then made room for a fresh one.
    assert (upstream.counters.replaced, network.dials) == (1, 3)
    assert upstream.counters.closed[CloseReason.SURPLUS] == 1
    await upstream.close()


@virtual_time
async def test_closing_the_client_tells_those_who_wait() -> None:
    network = ScriptedNetwork([[]])
    upstream = limited(network)
    tasks = [asyncio.create_task(upstream.send(REQUEST, timing())) for _ in range(3)]
    await settle()
    await upstream.close()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, UpstreamFailure)
        assert str(result) == "the router is shutting down"
    assert armed() == []
    with pytest.raises(UpstreamFailure):
        await upstream.send(REQUEST, timing())
    assert (network.open, repr(upstream.pool)) == (0, "<Pool empty>")
