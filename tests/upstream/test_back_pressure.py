"""A sink that is slower than the model, and a sink that is not there yet."""

from __future__ import annotations

import asyncio

import pytest

from router.core.errors import FailureKind
from router.upstream.base import BodyStream
from router.upstream.client import HttpUpstream
from router.upstream.framing import Limits
from router.upstream.reading import ONE_READ
from tests.upstream.scripted import (
    EOF,
    LAST,
    OK,
    REQUEST,
    RESET,
    SSE,
    Listener,
    ScriptedNetwork,
    Step,
    chunk,
    fetch,
    settle,
    stream_of,
    timing,
    whole,
)
from tests.virtual_time import virtual_time


async def open_stream(*steps: Step, limits: Limits | None = None) -> tuple[ScriptedNetwork, HttpUpstream, BodyStream]:
    network = ScriptedNetwork([[SSE, *steps], [OK]], [[OK]])
    upstream = HttpUpstream(dial=network, limits=limits)
    return network, upstream, stream_of(await upstream.send(REQUEST, timing()))


@virtual_time
async def test_a_sink_hears_one_call_per_read_however_many_chunks_it_brought() -> None:
    _, upstream, stream = await open_stream(chunk(b"a") * 3 + chunk(b"b"), chunk(b"c")[:4], chunk(b"c")[4:] + LAST)
    listener = Listener()
    stream.attach(listener)
    assert await listener.end is None
    assert listener.heard == [b"aaab", b"c"]
    await upstream.close()


@virtual_time
async def test_a_paused_stream_reads_nothing_until_resumed() -> None:
    network, upstream, stream = await open_stream(chunk(b"a"), chunk(b"b"), LAST)
    listener = Listener()
    stream.attach(listener)
    await settle()
    assert await listener.end is None
    await upstream.close()

    network, upstream, stream = await open_stream(1.0, chunk(b"a"), chunk(b"b"), LAST)
    listener = Listener()
    stream.attach(listener)
    stream.pause()
    stream.pause()
    await asyncio.sleep(10)
    assert (listener.heard, network.transports[0].reading) == ([], False)
    stream.resume()
    stream.resume()
    assert await listener.end is None
    assert listener.text == b"ab"
    await upstream.close()


class Slow(Listener):
    """Pauses at each call."""

    stream: BodyStream

    def data(self, data: bytes) -> None:
        super().data(data)
        self.stream.pause()


@virtual_time
async def test_a_sink_may_pause_from_within() -> None:
    network, upstream, stream = await open_stream(1.0, chunk(b"a"), chunk(b"b"), chunk(b"c") + LAST)
    sink = Slow()
    sink.stream = stream
    stream.attach(sink)
    for heard in ([b"a"], [b"a", b"b"]):
        await asyncio.sleep(5)
        assert sink.heard == heard
        stream.resume()
    await settle()
    assert sink.heard == [b"a", b"b", b"c"]
    assert await sink.end is None
    assert network.transports[0].reading, "the next request is not to find the socket paused"
    _, body = await fetch(network, upstream)
    assert (body, network.dials) == (b"ok", 1)
    await upstream.close()


@virtual_time
async def test_what_came_before_the_sink_is_handed_over_in_one_piece() -> None:
    _, upstream, stream = await open_stream(chunk(b"a"), chunk(b"b"), 1.0, chunk(b"c"), LAST)
    await settle()
    listener = Listener()
    stream.attach(listener)
    assert listener.heard == [b"ab"]
    assert await listener.end is None
    assert listener.heard == [b"ab", b"c"]
    await upstream.close()


@virtual_time
async def test_a_stream_that_is_over_before_the_sink_comes_is_handed_over_with_its_end() -> None:
    network, upstream, stream = await open_stream(chunk(b"a"), LAST)
    await settle()
    assert repr(upstream.pool) == "<Pool http://upstream.test:80 1 idle, 0 busy>"
    await fetch(network, upstream)
    listener = Listener()
    stream.attach(listener)
    assert (listener.heard, listener.end.done()) == ([b"a"], True)
    await upstream.close()


@pytest.mark.parametrize("end", [EOF, RESET])
@virtual_time
async def test_a_stream_that_breaks_before_the_sink_comes_says_so_after_what_it_had(end: Step) -> None:
    network, _, stream = await open_stream(chunk(b"a"), end)
    await settle()
    listener = Listener()
    stream.attach(listener)
    assert listener.heard == [b"a"]
    failure = await listener.end
    assert failure is not None
    assert failure.kind is FailureKind.DISCONNECTED
    assert network.open == 0


@virtual_time
async def test_without_a_sink_no_more_is_read_than_the_limit_and_one_read() -> None:
    steps = [chunk(b"x" * 40) for _ in range(10)]
    network, upstream, stream = await open_stream(*steps, LAST, limits=Limits(unattached=100))
    await settle()
    await settle()
    assert not network.transports[0].reading
    listener = Listener()
    stream.attach(listener)
    assert listener.heard == [b"x" * 120]
    assert await listener.end is None
    assert listener.text == b"x" * 400
    await upstream.close()


@virtual_time
async def test_a_pause_before_the_sink_outlasts_its_coming() -> None:
    steps = [chunk(b"x" * 40) for _ in range(10)]
    network, upstream, stream = await open_stream(*steps, LAST, limits=Limits(unattached=100))
    await settle()
    stream.pause()
    listener = Listener()
    stream.attach(listener)
    await settle()
    assert (len(listener.text), network.transports[0].reading) == (120, False)
    stream.resume()
    assert await listener.end is None
    assert len(listener.text) == 400
    await upstream.close()


@virtual_time
async def test_resuming_before_the_sink_does_not_lift_the_limit() -> None:
    steps = [chunk(b"x" * 40) for _ in range(10)]
    network, upstream, stream = await open_stream(*steps, LAST, limits=Limits(unattached=100))
    stream.pause()
    stream.resume()
    await settle()
    stream.pause()
    stream.resume()
    await settle()
    assert not network.transports[0].reading
    stream.abort()
    await upstream.close()


@virtual_time
async def test_calls_after_the_end_do_nothing_to_the_next_exchange() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"a") + LAST], [SSE + chunk(b"b"), 5.0, LAST]])
    upstream = HttpUpstream(dial=network)
    first = stream_of(await upstream.send(REQUEST, timing()))
    listener = Listener()
    first.attach(listener)
    assert await listener.end is None
    second = stream_of(await upstream.send(REQUEST, timing()))
    assert network.dials == 1
    first.pause()
    first.committed()
    first.resume()
    first.abort()
    assert network.transports[0].reading
    listener = Listener()
    second.attach(listener)
    assert await listener.end is None
    assert listener.text == b"b"
    await upstream.close()


MUCH = 5 * ONE_READ


@virtual_time
async def test_of_a_stream_no_more_is_read_at_once_than_can_be_held_until_its_chunks_come_one_by_one() -> None:
    alone = [chunk(b"data: %d\n\n" % number) for number in range(9)]
    flood = chunk(b"x" * (MUCH - 10))
    stream: list[Step] = [SSE, 1.0, *alone[:1], flood, *alone[1:3], flood, flood, *alone[3:5], flood, LAST]
    network = ScriptedNetwork([stream, stream])
    upstream = HttpUpstream(dial=network)
    large: list[int] = []
    for _ in range(2):
        listener = Listener()
        body = stream_of(await upstream.send(REQUEST, timing(first_token=10)))
        body.attach(listener)
        body.offer(lambda data, start: data in alone)
        assert await listener.end is None
        reads, network.transports[0].reads = network.transports[0].reads, []
        large += [size for size in reads if size > ONE_READ]
        assert sum(reads) == sum(len(step) for step in stream if isinstance(step, bytes))
    assert large == [len(flood)], "the first flood after chunks came alone, and none on this connection after it"
    await upstream.close()


@virtual_time
async def test_a_whole_reply_is_read_at_once() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
    small, large = head % 100 + b"x" * 100, head % (2 * MUCH) + b"x" * MUCH
    network = ScriptedNetwork([[small], [large, b"x" * MUCH], [small]])
    upstream = HttpUpstream(dial=network)
    for _ in range(3):
        await whole(await upstream.send(REQUEST, timing()))
    (transport,) = network.transports
    assert transport.reads == [len(small), len(large), MUCH, len(small)]
    await upstream.close()
