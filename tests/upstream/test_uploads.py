"""Request bodies that are still coming from the client while they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from router.core.errors import FailureKind, RouterError, UpstreamFailure
from router.dialects.base import Origin, WireRequest
from router.upstream.client import HttpUpstream
from router.upstream.counters import CloseReason
from tests.upstream.scripted import (
    DEPLOYMENT,
    EOF,
    LAST,
    OK,
    ORIGIN,
    RESET,
    SSE,
    Listener,
    Script,
    ScriptedNetwork,
    armed,
    chunk,
    settle,
    stream_of,
    timing,
)
from tests.virtual_time import virtual_time

Piece = bytes | float | BaseException


class Client:
    """A body from a client: pieces, silences in seconds, and what may go wrong."""

    def __init__(self, *pieces: Piece, length: int | None = None) -> None:
        self.pieces = list(pieces)
        self.length = length
        self.reading = False
        self.read_calls = 0

    async def read(self) -> bytes:
        self.read_calls += 1
        while self.pieces:
            piece = self.pieces[0]
            if isinstance(piece, float):
                self.reading = True
                try:
                    await asyncio.sleep(piece)
                finally:
                    self.reading = False
            self.pieces.pop(0)
            if isinstance(piece, BaseException):
                raise piece
            if isinstance(piece, bytes):
                return piece
        return b""


def wire(source: Client, origin: Origin = ORIGIN) -> WireRequest:
    framing = b"transfer-encoding: chunked" if source.length is None else b"content-length: %d" % source.length
    return WireRequest(origin, b"POST / HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % framing, b"", DEPLOYMENT, source)


def body_of(sent: Sequence[bytes]) -> bytes:
    """What came behind the last head."""
    heads = [place for place, data in enumerate(sent) if data.startswith(b"POST")]
    return b"".join(sent[heads[-1] + 1 :])


LATER: Script = [5.0, OK]


@virtual_time
async def test_a_body_of_known_length_is_sent_as_it_comes() -> None:
    network = ScriptedNetwork([LATER, [OK]])
    upstream = HttpUpstream(dial=network)
    source = Client(b"a", 1.0, b"bc", 1.0, b"d", length=4)
    task = asyncio.create_task(upstream.send(wire(source), timing()))
    await asyncio.sleep(0.5)
    assert body_of(network.transports[0].sent) == b"a"
    assert (await task).body == b"ok"
    assert body_of(network.transports[0].sent) == b"abcd"
    assert (await upstream.send(wire(Client(length=0)), timing())).body == b"ok"
    assert network.dials == 1, "the connection carries the next request"
    await upstream.close()


@virtual_time
async def test_a_body_of_unknown_length_is_sent_in_chunks() -> None:
    network = ScriptedNetwork([LATER, [1.0, OK]])
    upstream = HttpUpstream(dial=network)
    await upstream.send(wire(Client(b"abc", b"x" * 17)), timing())
    assert body_of(network.transports[0].sent) == b"3\r\nabc\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n"
    await upstream.send(wire(Client()), timing())
    assert body_of(network.transports[0].sent) == b"0\r\n\r\n"
    assert network.dials == 1
    await upstream.close()


@virtual_time
async def test_the_source_is_not_read_while_the_transport_is_full() -> None:
    network = ScriptedNetwork([[20.0, OK]])
    upstream = HttpUpstream(dial=network)
    source = Client(b"x", b"x", 1.0, b"x", 1.0, b"x", 1.0, b"x", 1.0, b"x", length=6)
    task = asyncio.create_task(upstream.send(wire(source), timing()))
    await asyncio.sleep(1.5)
    (connection,) = upstream.pool
    connection.pause_writing()
    connection.pause_writing()
    await asyncio.sleep(3)
    assert (body_of(network.transports[0].sent), source.read_calls) == (b"xxxx", 4)
    connection.resume_writing()
    connection.resume_writing()
    await asyncio.sleep(4)
    assert body_of(network.transports[0].sent) == b"xxxxxx"
    await task
    await upstream.close()


@pytest.mark.parametrize("status", [200, 413])
@virtual_time
async def test_an_early_reply_stops_the_upload_and_costs_the_connection(status: int) -> None:
    reply = b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\nok" % status
    network = ScriptedNetwork([[0.5, reply]], [[OK]])
    upstream = HttpUpstream(dial=network)
    source = Client(b"a", 10.0, b"b", length=2)
    response = await upstream.send(wire(source), timing())
    assert (response.status, response.body) == (status, b"ok")
    await settle()
    assert (source.reading, network.open) == (False, 0)
    assert upstream.counters.closed[CloseReason.REPLY] == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await upstream.close()


@virtual_time
async def test_a_stream_may_begin_before_the_body_has_been_sent() -> None:
    network = ScriptedNetwork([[0.5, SSE + chunk(b"a"), 2.0, chunk(b"b"), LAST], [OK]])
    upstream = HttpUpstream(dial=network)
    source = Client(b"a", 1.0, b"b", length=2)
    listener = Listener()
    stream_of(await upstream.send(wire(source), timing())).attach(listener)
    assert await listener.end is None
    assert (listener.text, body_of(network.transports[0].sent), network.open) == (b"ab", b"ab", 1)
    await upstream.close()


@virtual_time
async def test_a_stream_that_ends_before_the_body_has_been_sent_costs_the_connection() -> None:
    network = ScriptedNetwork([[0.5, SSE + chunk(b"a") + LAST]])
    upstream = HttpUpstream(dial=network)
    listener = Listener()
    stream_of(await upstream.send(wire(Client(b"a", 9.0, b"b", length=2)), timing())).attach(listener)
    assert await listener.end is None
    await settle()
    assert network.open == 0
    await upstream.close()


class Gone(Exception):
    pass


@pytest.mark.parametrize("pieces", [[Gone()], [b"a", Gone()], [b"a", 1.0, Gone()]])
@pytest.mark.parametrize("length", [4, None])
@virtual_time
async def test_what_breaks_the_source_is_raised_and_the_connection_closed(
    pieces: list[Piece], length: int | None
) -> None:
    network = ScriptedNetwork([LATER])
    upstream = HttpUpstream(dial=network)
    with pytest.raises(Gone):
        await upstream.send(wire(Client(*pieces, length=length)), timing())
    await settle()
    assert network.transports[0].ending == "aborted", "what was sent must not pass for the whole"
    assert b"0\r\n\r\n" not in body_of(network.transports[0].sent)
    assert (armed(), repr(upstream.pool)) == ([], "<Pool empty>")
    await upstream.close()


@pytest.mark.parametrize("pieces", [[b"abc"], [b"a"], []])
@virtual_time
async def test_a_source_of_another_length_than_it_said_is_the_client_s_fault(pieces: list[Piece]) -> None:
    network = ScriptedNetwork([LATER])
    upstream = HttpUpstream(dial=network)
    with pytest.raises(RouterError) as caught:
        await upstream.send(wire(Client(*pieces, length=2)), timing())
    assert caught.value.status == 400
    await settle()
    assert (network.transports[0].ending, len(body_of(network.transports[0].sent)) <= 2) == ("aborted", True)
    await upstream.close()


@virtual_time
async def test_a_source_that_is_cancelled_cancels_the_request() -> None:
    network = ScriptedNetwork([LATER])
    upstream = HttpUpstream(dial=network)
    with pytest.raises(asyncio.CancelledError):
        await upstream.send(wire(Client(b"a", asyncio.CancelledError(), length=2)), timing())
    await settle()
    assert network.open == 0
    await upstream.close()


@virtual_time
async def test_a_source_that_breaks_behind_the_head_of_a_stream_ends_the_stream() -> None:
    network = ScriptedNetwork([[0.5, SSE + chunk(b"a"), 9.0, LAST]])
    upstream = HttpUpstream(dial=network)
    listener = Listener()
    stream_of(await upstream.send(wire(Client(b"a", 1.0, Gone(), length=2)), timing())).attach(listener)
    failure = await listener.end
    assert failure is not None
    assert failure.kind is FailureKind.REJECTED, "another deployment could not do better"
    assert network.open == 0
    await upstream.close()


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.5])
@virtual_time
async def test_a_cancelled_request_reads_nothing_more(seconds: float) -> None:
    network = ScriptedNetwork([LATER])
    upstream = HttpUpstream(dial=network)
    source = Client(b"a", 1.0, b"b", 1.0, b"c", length=3)
    task = asyncio.create_task(upstream.send(wire(source), timing()))
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle()
    assert (source.reading, network.open) == (False, 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await upstream.close()


@virtual_time
async def test_an_attempt_s_limit_ends_the_upload() -> None:
    network = ScriptedNetwork([[]])
    upstream = HttpUpstream(dial=network)
    source = Client(b"a", 100.0, length=2)
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(wire(source), timing(3.0))
    assert caught.value.kind is FailureKind.ATTEMPT_TIMEOUT
    await settle()
    assert (source.reading, network.open) == (False, 0)
    await upstream.close()


@pytest.mark.parametrize("end", [EOF, RESET])
@pytest.mark.parametrize("length", [1, None])
@virtual_time
async def test_a_stale_connection_is_replaced_where_nothing_of_the_source_was_taken(
    end: object, length: int | None
) -> None:
    network = ScriptedNetwork([LATER, [end]], [LATER])  # type: ignore[list-item]
    upstream = HttpUpstream(dial=network)
    await upstream.send(wire(Client(b"a", length=1)), timing())
    response = await upstream.send(wire(Client(0.1, b"b", length=length)), timing())
    assert (response.body, upstream.counters.replaced) == (b"ok", 1)
    assert body_of(network.transports[1].sent) == (b"b" if length else b"1\r\nb\r\n0\r\n\r\n")
    await upstream.close()


@pytest.mark.parametrize("length", [1, 2, None])
@virtual_time
async def test_a_stale_connection_is_a_failure_where_some_of_the_source_is_gone(length: int | None) -> None:
    network = ScriptedNetwork([LATER, [0.1, EOF]])
    upstream = HttpUpstream(dial=network)
    await upstream.send(wire(Client(b"a", length=1)), timing())
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(wire(Client(b"b", 1.0, b"c", length=length)), timing())
    assert caught.value.kind is FailureKind.DISCONNECTED
    assert upstream.counters.replaced == 0
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await upstream.close()
