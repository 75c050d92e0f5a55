"""The connection that trades go over: what it makes of answers, and of none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ResponseError

from router.state.redis.link import Link, answer_in, command

pytestmark = pytest.mark.both_loops


@asynccontextmanager
async def linked(*writes: bytes, patience: float = 5.0) -> AsyncIterator[Link]:
    """To a server that says so, once something has been asked; an empty string: it hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        for said in writes:
            if not said:
                writer.close()
                return
            writer.write(said)
            await writer.drain()
            await asyncio.sleep(0.001)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(lambda: Link(patience), *server.sockets[0].getsockname())
    try:
        yield link
    finally:
        link.close()
        server.close()
        await asyncio.sleep(0.01)


def test_a_command_is_an_array_of_strings() -> None:
    assert command(b"GET", b"", b"a\r\nb") == b"*3\r\n$3\r\nGET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b"$5\r\na\r\nbc\r\n", b"a\r\nbc"),
        (b"+OK\r\n", b"OK"),
        (b":7\r\n", b"7"),
        (b"$-1\r\n", b""),
        (b"$0\r\n\r\n", b""),
    ],
)
def test_an_answer_is_read_once_all_of_it_has_come(text: bytes, answer: bytes) -> None:
    assert answer_in(text) == answer
    assert [answer_in(text[:end]) for end in range(len(text))] == [None] * len(text)
    with pytest.raises(ValueError, match="none"):
        answer_in(text + b"+")


@pytest.mark.parametrize("text", [b"HTTP/1.1 400\r\n", b"*1\r\n$1\r\na\r\n", b"$x\r\n"])
def test_what_is_no_answer_is_told_apart(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - int() has words of its own
        answer_in(text)


async def test_an_answer_in_pieces_is_put_together() -> None:
    async with linked(*(b"%c" % byte for byte in b"$5\r\nhello\r\n")) as link:
        assert await link.ask(b"GET", b"a") == b"hello"


async def test_an_error_is_an_answer_and_the_link_goes_on() -> None:
    async with linked(b"-NOSCRIPT no such script\r\n") as link:
        with pytest.raises(ResponseError, match="NOSCRIPT"):
            await link.ask(b"EVALSHA")
        assert not link.lost


@pytest.mark.parametrize(
    ("said", "error"),
    [(b"", ConnectionResetError), (b"nonsense\r\n", ConnectionResetError), (b"$100\r\nabc", TimeoutError)],
)
async def test_without_an_answer_the_link_is_lost(said: bytes, error: type[Exception]) -> None:
    async with linked(said, patience=0.2) as link:
        with pytest.raises(error):
            await link.ask(b"PING")
        assert link.lost
        with pytest.raises(ConnectionResetError):
            await link.ask(b"PING")


async def test_who_stops_waiting_leaves_no_answer_to_the_next_question() -> None:
    async with linked() as link:
        asking = asyncio.ensure_future(link.ask(b"PING"))
        await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait([asking])
        assert link.lost


async def test_what_nobody_has_asked_for_ends_the_link() -> None:
    async with linked(b"+OK\r\n", b"+OK\r\n") as link:
        assert await link.ask(b"PING") == b"OK"
        for _ in range(1000):
            await asyncio.sleep(0.001)
            if link.lost:
                break
        assert link.lost
