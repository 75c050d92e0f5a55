"""Whatever a client sends and however it is cut, the fast path sees in it the requests that aiohttp's own path sees.

A request that is read otherwise by one of the two could be smuggled past it. Most of the requests here ask for a model
of their own that is not served, so that the answer tells which body has been read.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

import httptools
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.edge.protocol import EdgeProtocol
from tests.edge.house import House, open_house
from tests.edge.test_aiohttp_contract import Transport
from tests.edge.wire import CHAT
from tests.upstream.test_framing_property import PLACES, cut

LIMIT = 400
"""Bytes of body that the router takes."""

QUIET = 40
"""Turns of the loop without a word from the router, after which it has said what it had to say."""


class Wire(Transport):
    """The router's end of a connection, which tells when it has been closed."""

    def __init__(self, protocol: EdgeProtocol) -> None:
        super().__init__()
        self._protocol = protocol
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "a write on a closed connection"
        super().write(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


class Answer(NamedTuple):
    """What is the same each time that the same is asked."""

    status: int
    body: bytes
    closes: bool
    whole: bool


class _Reading:
    def __init__(self) -> None:
        self.body = b""
        self.closes = self.whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"connection":
            self.closes = value.lower() == b"close"

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole = True


BAD = b'"code":"bad_http"'
VARYING = re.compile(rb'"(id|created|request_id)":("[^"]*"|\d+)')


def answers(written: bytes) -> list[Answer]:
    found = []
    for text in re.split(rb"(?=HTTP/1\.[01] \d\d\d )", written)[1:]:
        reading = _Reading()
        parser = httptools.HttpResponseParser(reading)
        parser.feed_data(text)
        status = parser.get_status_code()
        found.append(Answer(status, VARYING.sub(b"", reading.body), reading.closes, reading.whole))
    return found


class Served(NamedTuple):
    """What came of some reads. `parsed`: how many requests aiohttp's parser has seen."""

    answers: list[Answer]
    closed: bool
    parsed: int


async def serve(house: House, pieces: Sequence[bytes], turns: Sequence[int]) -> Served:
    """Each piece is one read, so many turns of the loop after the one before."""
    protocol = house.app._listener._server()
    wire = Wire(protocol)
    coming = list(pieces)
    quiet = 0
    while quiet < QUIET:
        before = len(wire.written)
        if coming and wire.reading and not wire.closed:
            protocol.data_received(coming.pop(0))
            for _ in range(turns[len(coming) % len(turns)]):
                await asyncio.sleep(0)
            quiet = 0
        await asyncio.sleep(0)
        quiet = 0 if len(wire.written) > before else quiet + 1
    served = Served(answers(wire.written), wire.closed, protocol._request_count)
    wire.close()
    await asyncio.sleep(0)
    return served


Both = Callable[[Sequence[bytes], Sequence[int]], Served]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Serves some reads by the fast path and by aiohttp's own, there also one byte a read; all must come to the same.
    Gives what came of the fast one.

    Where a read holds good requests before a bad one, aiohttp forgets the good ones, but not those that the fast path
    has taken out before it.
    """
    folder, stack = tmp_path_factory.mktemp("both"), AsyncExitStack()

    async def opened() -> list[House]:
        return [
            await stack.enter_async_context(
                open_house(folder / f"{fast}.log", fast_path=fast, max_body_bytes=LIMIT, drain_seconds=0.0)
            )
            for fast in (True, False)
        ]

    with asyncio.Runner() as runner:
        houses = runner.run(opened())

        def compared(pieces: Sequence[bytes], turns: Sequence[int]) -> Served:
            fast = runner.run(serve(houses[0], pieces, turns))
            generic = runner.run(serve(houses[1], pieces, turns))
            slow = runner.run(serve(houses[1], [bytes([byte]) for byte in b"".join(pieces)], [0]))
            if generic.answers and BAD in generic.answers[-1].body and fast.answers != slow.answers:
                *sound, last = fast.answers
                assert last == generic.answers[-1]
                assert sound == slow.answers[: len(sound)]
            else:
                assert fast.answers in (generic.answers, slow.answers)
            assert fast.closed in (generic.closed, slow.closed)
            return fast

        yield compared
        runner.run(stack.aclose())


def body_for(model: str, size: int = 0, stream: bool = False) -> bytes:
    return orjson.dumps({"model": model, "messages": [{"role": "user", "content": "x" * size}], "stream": stream})


def post(fields: str, body: bytes, *, line: str = f"POST {CHAT} HTTP/1.1") -> bytes:
    return f"{line}\r\nhost: router\r\n{fields.replace('{}', str(len(body)))}\r\n".encode() + body


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


SAME = "content-length: {}\r\n"
FRAMED: dict[str, Callable[[bytes], bytes]] = {
    "leading zeros": lambda body: post("content-length: 00{}\r\n", body),
    "a long number": lambda body: post("content-length: 0000000{}\r\n", body),
    "a longer number": lambda body: post("content-length: 000000000{}\r\n", body),
    "beyond all numbers": lambda body: post("content-length: 99999999999999999999\r\n", body),
    "far too long": lambda body: post("content-length: 9999999999\r\n", body),
    "a sign": lambda body: post("content-length: +{}\r\n", body),
    "no blank": lambda body: post("content-length:{}\r\n", body),
    "two blanks": lambda body: post("content-length:  {}\r\n", body),
    "a blank behind": lambda body: post("content-length: {} \r\n", body),
    "a capital": lambda body: post("Content-Length: {}\r\n", body),
    "two lengths": lambda body: post(SAME + SAME, body),
    "a second length": lambda body: post(SAME + "content-length: 3\r\n", body),
    "no length": lambda body: post("", body),
    "nothing": lambda body: post(SAME, b""),
    "more than there is": lambda body: post(f"content-length: {len(body) + 3}\r\n", body),
    "less than there is": lambda body: post(f"content-length: {len(body) - 3}\r\n", body),
    "chunks": lambda body: post("transfer-encoding: chunked\r\n", chunked(body)),
    "chunks behind the same head": lambda body: post(SAME, chunked(body)),
    "chunks and a length": lambda body: post(SAME + "transfer-encoding: chunked\r\n", chunked(body)),
    "another line": lambda body: post(SAME + "x: y\r\n", body),
    "the length in another value": lambda body: post("x: content-length: 3\r\n" + SAME, body),
    "a folded line": lambda body: post(SAME + " x\r\n", body),
    "a bare line feed": lambda body: post("content-length: {}\n", body),
    "close": lambda body: post(SAME + "connection: close\r\n", body),
    "expect": lambda body: post(SAME + "expect: 100-continue\r\n", body),
    "gzip": lambda body: post(SAME + "content-encoding: gzip\r\n", body),
    "an upgrade": lambda body: post(SAME + "connection: upgrade\r\nupgrade: h2c\r\n", body),
    "HTTP/1.0": lambda body: post(SAME, body, line=f"POST {CHAT} HTTP/1.0"),
    "another path": lambda body: post(SAME, body, line="POST /v1/nowhere HTTP/1.1"),
    "another method": lambda body: post(SAME, body, line=f"PUT {CHAT} HTTP/1.1"),
    "a page": lambda body: b"GET /health/live HTTP/1.1\r\nhost: router\r\n\r\n",
    "line breaks before": lambda body: b"\r\n\r\n" + post(SAME, body),
    "noise": lambda body: b"\x00\x01" + body,
}


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Requests, one behind the other, most of them with the same head; and sometimes a byte that is wrong."""
    text = b""
    for number in range(draw(st.integers(2, 6))):
        model = draw(st.sampled_from(["m", f"none-{number}", f"none-{number}"]))
        body = body_for(model, draw(st.sampled_from([0, 1, 90, 300, 500])), draw(st.booleans()))
        frame = draw(st.one_of(st.none(), st.none(), st.sampled_from(list(FRAMED.values()))))
        text += post(SAME, body) if frame is None else frame(body)
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(text) - 1))
        wrong = draw(st.sampled_from([b"", b"\r", b"\n", b" ", b"\0", b"0", b"9", b"\r\n", b"x"]))
        text = text[:place] + wrong + text[place + draw(st.integers(0, 1)) :]
    return text


TURNS = st.lists(st.sampled_from([0, 1, 2, 5, 40]), min_size=1, max_size=4)


@given(conversations(), PLACES, TURNS)
def test_both_paths_read_the_same_requests_however_they_are_cut(
    both: Both, text: bytes, places: list[int], turns: list[int]
) -> None:
    both(cut(text, places), turns)


@pytest.mark.parametrize("name", FRAMED)
@pytest.mark.parametrize("apart", [0, 40])
def test_a_framing_of_its_own_between_two_requests_of_the_same_head(both: Both, name: str, apart: int) -> None:
    same, other = [post(SAME, body_for(f"none-{number}")) for number in range(4)], FRAMED[name](body_for("other"))
    both([*same[:2], other, *same[2:]], [apart])
    both([same[0], b"".join([same[1], other, *same[2:]])], [40])


def test_the_second_request_cut_in_two_at_every_byte(both: Both) -> None:
    first, second, third = (post(SAME, body_for(f"none-{number}")) for number in range(3))
    begin = len(second) - len(body_for("none-1"))
    for place in range(1, len(second)):
        served = both([first, second[:place], second[place:] + third], [40])
        assert [answer.status for answer in served.answers] == [404, 404, 404]
        assert served.parsed == (2 if place >= begin else 3), "cut within its body, it does not meet the parser"
