"""Reuse, stale connections, idle expiry, the cap, and the counters that tell of them."""

from __future__ import annotations

import asyncio

import pytest

from router.core.errors import FailureKind, UpstreamFailure
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
    chunk,
    fetch,
    settle,
    stream_of,
    timing,
)
from tests.virtual_time import virtual_time


@virtual_time
async def test_a_request_goes_out_in_one_write_and_a_large_one_in_two() -> None:
    network = ScriptedNetwork([[OK], [OK]])
    upstream = HttpUpstream(dial=network)
    await upstream.send(REQUEST, timing())
    large = REQUEST._replace(body=b"x" * 100_000)
    await upstream.send(large, timing())
    assert network.transports[0].sent == [REQUEST.head + REQUEST.body, large.head, large.body]
    await upstream.close()


@virtual_time
async def test_a_connection_is_reused_while_the_server_keeps_it() -> None:
    network = ScriptedNetwork([[OK], [OK], [OK]])
    upstream = HttpUpstream(dial=network)
    for _ in range(3):
        await fetch(network, upstream)
        await asyncio.sleep(29)
    assert (network.dials, upstream.counters.opened, upstream.counters.reused) == (1, 1, 2)
    await upstream.close()


@virtual_time
async def test_a_stream_that_ended_leaves_its_connection_to_the_next_request() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"a"), chunk(b"b"), LAST], [OK]])
    upstream = HttpUpstream(dial=network)
    _, body = await fetch(network, upstream)
    assert body == b"ab"
    await fetch(network, upstream)
    assert network.dials == 1
    await upstream.close()


@virtual_time
async def test_requests_at_the_same_time_have_a_connection_each() -> None:
    network = ScriptedNetwork([[1.0, OK]], [[1.0, OK]], [[1.0, OK], [OK]])
    upstream = HttpUpstream(dial=network)
    await asyncio.gather(*(fetch(network, upstream) for _ in range(3)))
    assert repr(upstream.pool) == "<Pool http://upstream.test:80 3 idle, 0 busy>"
    await fetch(network, upstream)
    assert network.dials == 3
    assert network.transports[2].sent, "the last one back is the first one out"
    await upstream.close()


@pytest.mark.parametrize("end", [EOF, RESET])
@virtual_time
async def test_a_stale_connection_is_replaced_once_within_the_same_call(end: Step) -> None:
    network = ScriptedNetwork([[OK], [end]], [[OK]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    _, body = await fetch(network, upstream)
    assert body == b"ok"
    assert network.dials == 2
    assert (upstream.counters.replaced, upstream.counters.closed[CloseReason.STALE]) == (1, 1)
    assert repr(upstream.pool) == "<Pool http://upstream.test:80 1 idle, 0 busy>"
    await upstream.close()


@virtual_time
async def test_the_replacement_is_a_fresh_connection_even_where_another_is_idle() -> None:
    network = ScriptedNetwork([[1.0, OK], [EOF]], [[1.0, OK], [EOF]], [[OK]])
    upstream = HttpUpstream(dial=network)
    await asyncio.gather(fetch(network, upstream), fetch(network, upstream))
    await fetch(network, upstream)
    assert network.dials == 3
    await upstream.close()


@pytest.mark.parametrize("end", [EOF, RESET])
@virtual_time
async def test_the_replacement_is_not_replaced(end: Step) -> None:
    network = ScriptedNetwork([[OK], [end]], [[end]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    with pytest.raises(UpstreamFailure) as caught:
        await fetch(network, upstream)
    assert caught.value.kind is FailureKind.DISCONNECTED
    assert (network.dials, network.open) == (2, 0)


@pytest.mark.parametrize("end", [EOF, RESET])
@virtual_time
async def test_a_fresh_connection_that_closes_without_a_word_is_a_failure(end: Step) -> None:
    network = ScriptedNetwork([[end]])
    upstream = HttpUpstream(dial=network)
    with pytest.raises(UpstreamFailure) as caught:
        await fetch(network, upstream)
    assert (caught.value.kind, str(caught.value)) == (FailureKind.DISCONNECTED, "closed before a response")
    assert isinstance(caught.value.__cause__, ConnectionResetError) == (end is RESET)
    assert (network.dials, upstream.counters.replaced) == (1, 0)
    assert upstream.counters.closed[CloseReason.FAILED] == 1


@pytest.mark.parametrize("end", [EOF, RESET])
@virtual_time
async def test_one_byte_of_a_response_and_the_request_is_not_sent_again(end: Step) -> None:
    network = ScriptedNetwork([[OK], [b"H", end]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    with pytest.raises(UpstreamFailure) as caught:
        await fetch(network, upstream)
    assert (caught.value.kind, network.dials) == (FailureKind.DISCONNECTED, 1)


@virtual_time
async def test_a_reused_connection_that_is_silent_is_no_stale_one() -> None:
    network = ScriptedNetwork([[OK], [5.0, OK]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(REQUEST, timing(3))
    assert (caught.value.kind, network.dials) == (FailureKind.ATTEMPT_TIMEOUT, 1)


GOODBYE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbye"


@virtual_time
async def test_a_408_that_crossed_our_request_on_a_reused_connection_means_stale() -> None:
    network = ScriptedNetwork([[OK], [GOODBYE, EOF]], [[OK]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    response, _ = await fetch(network, upstream)
    assert (response.status, upstream.counters.replaced) == (200, 1)
    await upstream.close()


@virtual_time
async def test_a_408_on_a_fresh_connection_is_an_answer() -> None:
    network = ScriptedNetwork([[GOODBYE, EOF]])
    response, body = await fetch(network)
    assert (response.status, body) == (408, b"bye")


@virtual_time
async def test_a_408_that_keeps_the_connection_is_an_answer() -> None:
    network = ScriptedNetwork([[OK], [b"HTTP/1.1 408 Slow\r\ncontent-length: 0\r\n\r\n"]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    response, _ = await fetch(network, upstream)
    assert response.status == 408
    await upstream.close()


@pytest.mark.parametrize("end", [EOF, RESET, b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\n"])
@virtual_time
async def test_an_idle_connection_on_which_anything_happens_is_closed_and_not_taken(end: Step) -> None:
    network = ScriptedNetwork([[OK, 10.0, end]], [[OK]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    await asyncio.sleep(11)
    assert (repr(upstream.pool), network.open) == ("<Pool empty>", 0)
    assert upstream.counters.closed[CloseReason.SERVER] == 1
    await fetch(network, upstream)
    assert upstream.counters.replaced == 0
    await upstream.close()


@virtual_time
async def test_an_idle_connection_expires_after_thirty_seconds_without_use() -> None:
    network = ScriptedNetwork([[OK], [OK]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    await asyncio.sleep(20)
    await fetch(network, upstream)
    await asyncio.sleep(29.9)
    assert network.open == 1
    await asyncio.sleep(0.2)
    assert (network.open, repr(upstream.pool)) == (0, "<Pool empty>")
    assert network.transports[0].ending == "closed", "politely: TLS may say goodbye"
    assert upstream.counters.closed[CloseReason.EXPIRED] == 1


@virtual_time
async def test_a_long_request_does_not_expire_as_if_it_were_idle() -> None:
    network = ScriptedNetwork([[OK], [200.0, OK]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    response = await upstream.send(REQUEST, timing(300))
    assert response.status == 200
    await upstream.close()


@virtual_time
async def test_more_idle_connections_than_allowed_are_closed_oldest_first() -> None:
    network = ScriptedNetwork([[1.0, OK]], [[2.0, OK]], [[3.0, OK]], [[4.0, OK]])
    upstream = HttpUpstream(dial=network, max_idle=2)
    await asyncio.gather(*(fetch(network, upstream) for _ in range(4)))
    await settle()
    assert [transport.open for transport in network.transports] == [False, False, True, True]
    assert upstream.counters.closed[CloseReason.SURPLUS] == 2
    await upstream.close()


@virtual_time
async def test_a_connection_that_closes_between_opening_and_the_request_is_a_failure_and_no_hang() -> None:
    class HastyNetwork(ScriptedNetwork):
        async def __call__(self, origin: object, receiver: Receiver) -> None:
            await super().__call__(REQUEST.origin, receiver)
            self.transports[-1].say(EOF)
            await settle()

    network = HastyNetwork([])
    upstream = HttpUpstream(dial=network)
    with pytest.raises(UpstreamFailure) as caught:
        await fetch(network, upstream)
    assert (caught.value.kind, network.open) == (FailureKind.DISCONNECTED, 0)
    assert (upstream.counters.opened, upstream.counters.not_opened) == (0, 1)
    assert repr(upstream.pool) == "<Pool empty>"


@virtual_time
async def test_a_socket_that_comes_after_everyone_has_left_is_closed() -> None:
    class LateNetwork(ScriptedNetwork):
        async def __call__(self, origin: object, receiver: Receiver) -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(10, lambda: self.transports.append(ScriptedTransport(receiver, [])))
            await loop.create_future()

    network = LateNetwork()
    upstream = HttpUpstream(dial=network)
    with pytest.raises(UpstreamFailure, match="connect timed out"):
        await fetch(network, upstream)
    await asyncio.sleep(10)
    assert [transport.ending for transport in network.transports] == ["aborted"]
    await upstream.close()


@virtual_time
async def test_closing_fails_what_is_under_way_and_closes_every_socket() -> None:
    network = ScriptedNetwork([[1.0, OK]], [[SSE + chunk(b"a"), 60.0]], [[60.0]], [])
    upstream = HttpUpstream(dial=network)
    idle = asyncio.create_task(upstream.send(REQUEST, timing()))
    await settle()
    response = await upstream.send(REQUEST, timing())
    listener = Listener()
    stream_of(response).attach(listener)
    waiting = asyncio.create_task(upstream.send(REQUEST, timing()))
    await idle
    assert repr(upstream.pool) == "<Pool http://upstream.test:80 1 idle, 2 busy>"
    await upstream.close()
    assert (network.open, repr(upstream.pool)) == (0, "<Pool empty>")
    failure = await listener.end
    assert failure is not None
    assert failure.kind is FailureKind.DISCONNECTED
    with pytest.raises(UpstreamFailure, match="shutting down"):
        await waiting
    with pytest.raises(UpstreamFailure, match="shutting down"):
        await upstream.send(REQUEST, timing())
    assert network.open == 0
    await upstream.close()
