"""The connection that trades go over: what it makes of answers, and of none."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ResponseError

from router.core.redis_address import parse_redis_url
from router.state.redis.client import FAILURES, close, connect
from router.state.redis.link import Link, answer_in, command, dialer
from router.state.redis.medium import medium_error
from tests.state.listening import listening
from tests.state.redis_servers import free_port
from tests.state.waiting import until

pytestmark = pytest.mark.both_loops


@asynccontextmanager
async def linked(*writes: bytes, patience: float = 5.0) -> AsyncIterator[Link]:
    """To a server that says so, once something has been asked; an empty string: it hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        for said in writes:
            if not said:
                return
            writer.write(said)
            await writer.drain()
            await asyncio.sleep(0.001)
        await reader.read()

    async with listening(serve) as port:
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: Link(patience), "127.0.0.1", port)
        try:
            yield link
        finally:
            link.close()


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
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert link.lost


async def test_what_nobody_has_asked_for_ends_the_link() -> None:
    async with linked(b"+OK\r\n", b"+OK\r\n") as link:
        assert await link.ask(b"PING") == b"OK"
        await until(lambda: link.lost)


class Door:
    """A server that answers every command with `answer`; `asked`: the commands; `met` and `open`: connections."""

    def __init__(self, answer: bytes = b"+OK\r\n") -> None:
        self.asked: list[list[bytes]] = []
        self.met = 0
        self.open = 0
        self.port = 0
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.met += 1
        self.open += 1
        try:
            while head := await reader.readline():
                parts = []
                for _ in range(int(head[1:])):
                    length = int((await reader.readline())[1:])
                    parts.append((await reader.readexactly(length + 2))[:-2])
                self.asked.append(parts)
                writer.write(self._answer)
        except ConnectionError:
            pass  # it was hung up on
        finally:
            self.open -= 1


@asynccontextmanager
async def door(answer: bytes = b"+OK\r\n") -> AsyncIterator[Door]:
    door = Door(answer)
    async with listening(door.serve) as door.port:
        yield door


async def dialled(url: str) -> None:
    address = parse_redis_url(url)
    client = connect(address)
    try:
        (await dialer(address, 5.0, 5.0)(client, "key")).close()
    finally:
        await close(client)


@pytest.mark.parametrize(
    ("login", "path", "asked"),
    [
        ("", "", []),
        (":@", "", []),
        (":p@", "", [[b"AUTH", b"default", b"p"]]),
        ("user@", "", [[b"AUTH", b"user", b""]]),
        ("user:p@", "/3", [[b"AUTH", b"user", b"p"], [b"SELECT", b"3"]]),
        ("", "/3", [[b"SELECT", b"3"]]),
    ],
)
async def test_who_dials_signs_in_and_selects_as_the_library_does(
    login: str, path: str, asked: list[list[bytes]]
) -> None:
    async with door() as one:
        url = f"redis://{login}127.0.0.1:{one.port}{path}"
        await dialled(url)
        assert one.asked == asked
        one.asked = []
        client = connect(parse_redis_url(url))
        await client.ping()
        await close(client)
        theirs = [parts for parts in one.asked if parts[0] in (b"AUTH", b"SELECT")]
        assert theirs == [[parts[0], *parts[-1:]] if b"default" in parts else parts for parts in asked]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("WRONGPASS invalid username-password pair or user is disabled.", "auth"),
        ("ERR AUTH <password> called without any password configured for the default user.", "auth"),
        ("NOPERM this user has no permissions to run the 'auth' command", "auth"),
        ("LOADING Redis is loading the dataset in memory", "loading"),
        ("MASTERDOWN Link with MASTER is down", "failing_over"),
    ],
)
async def test_a_refused_password_is_told_from_a_server_that_is_not_ready(answer: str, reason: str) -> None:
    async with door(f"-{answer}\r\n".encode()) as one:
        with pytest.raises(FAILURES) as raised:
            await dialled(f"redis://user:p@127.0.0.1:{one.port}")
        error = raised.value
        assert isinstance(error, Exception)
        assert medium_error(error).reason == reason


async def test_a_dial_that_is_cancelled_leaves_no_connection_whenever_that_is() -> None:
    async with door() as one:
        for steps in range(40):
            dialling = asyncio.ensure_future(dialled(f"redis://user:p@127.0.0.1:{one.port}"))
            for _ in range(steps):
                await asyncio.sleep(0)
            dialling.cancel()
            await asyncio.wait([dialling])
        await until(lambda: not one.open)
        assert one.met, "or nothing has been shown"
        assert one.asked, "nor of who has begun to sign in"


async def test_a_link_that_is_lost_before_its_connection_opens_lets_go_of_it() -> None:
    async with door() as one:
        link = Link(5.0)
        link.close()
        await asyncio.get_running_loop().create_connection(lambda: link, "127.0.0.1", one.port)
        await until(lambda: one.met == 1 and not one.open)


async def test_certificates_are_read_once_and_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[threading.Thread] = []
    read = ssl.create_default_context

    def watched() -> ssl.SSLContext:
        readers.append(threading.current_thread())
        return read()

    monkeypatch.setattr(ssl, "create_default_context", watched)
    address = parse_redis_url(f"rediss://127.0.0.1:{free_port()}")
    client, dial = connect(address), dialer(address)
    for _ in range(3):
        with pytest.raises(OSError, match="onnect"):
            await dial(client, "key")
    assert len(readers) == 1
    assert readers[0] is not threading.main_thread()
    await close(client)
