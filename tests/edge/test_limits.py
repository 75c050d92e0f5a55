"""Bodies too large or too slow, and more requests than may be served at once."""

from __future__ import annotations

import pytest

from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.edge.house import Open, group, remote
from tests.edge.wire import CHAT, HI, STREAM, request

pytestmark = pytest.mark.both_loops

LIMIT = 1000


def body_of(size: int) -> bytes:
    """A good body of that many bytes."""
    start = b'{"model": "m", "messages": [{"role": "user", "content": "'
    end = b'"}]}'
    return start + b"x" * (size - len(start) - len(end)) + end


def chunked_request(body: bytes) -> bytes:
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def test_a_body_of_just_the_limit_is_served(house: Open) -> None:
    async with house(max_body_bytes=LIMIT) as router:
        client = await router.connect()
        for message in (request(CHAT, body_of(LIMIT)), chunked_request(body_of(LIMIT))):
            client.writer.write(message)
            assert (await client.receive()).status == 200


@pytest.mark.parametrize("size", [LIMIT + 1, 100 * LIMIT, 10_000 * LIMIT])
@pytest.mark.parametrize("make", [lambda body: request(CHAT, body), chunked_request], ids=["declared", "chunked"])
async def test_a_larger_one_is_a_413_however_it_is_framed(house: Open, size: int, make: object) -> None:
    assert callable(make)
    async with house(max_body_bytes=LIMIT) as router:
        client = await router.connect()
        client.writer.write(make(body_of(size)))
        seen = await client.receive()
        assert (seen.status, seen.error()["code"]) == (413, "request_too_large")
        assert str(LIMIT) in seen.error()["message"]
        assert (await router.ask(CHAT, HI)).status == 200


async def test_a_large_body_is_refused_before_it_has_come(house: Open) -> None:
    async with house(max_body_bytes=LIMIT) as router:
        client = await router.connect()
        client.writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999\r\n\r\n".encode())
        assert (await client.receive()).status == 413
        assert await router.in_flight() == 0


@pytest.mark.parametrize("framing", ["content-length: 100", "transfer-encoding: chunked"])
async def test_a_body_that_does_not_come_is_a_408(house: Open, framing: str) -> None:
    async with house(body_timeout=0.05) as router:
        client = await router.connect()
        client.writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n".encode() + b"5\r\n{")
        seen = await client.receive()
        assert (seen.status, seen.error()["code"]) == (408, "request_timeout")
        assert await router.in_flight() == 0


async def test_a_refused_request_does_not_cost_the_connection_once_its_body_has_come(house: Open) -> None:
    async with house(keys=[{"name": "k", "key": "sk-k"}]) as router:
        client = await router.connect()
        head, _, body = request(CHAT, body_of(LIMIT)).partition(b"\r\n\r\n")
        for _ in range(2):
            client.writer.write(head + b"\r\n\r\n")
            assert (await client.receive()).status == 401
            client.writer.write(body)
        seen = await client.ask(CHAT, HI, headers="authorization: Bearer sk-k\r\n")
        assert seen.status == 200


async def test_what_is_beyond_the_limit_of_concurrent_requests_is_a_503_at_once(house: Open) -> None:
    async with (
        MockServer(Behaviour(time_to_first_token=30)) as mock,
        house(group(remote("d", mock)), max_concurrent_requests=3) as router,
    ):
        for body in (HI, STREAM, HI):
            (await router.connect()).writer.write(request(CHAT, body))
        await mock.until(lambda server: server.in_flight == 3)
        for _ in range(5):
            seen = await router.ask(CHAT, HI)
            assert (seen.status, seen.error()["code"]) == (503, "overloaded")
            assert (seen.headers["retry-after"], seen.headers["retry-after-ms"]) == ("1", "1000")
        assert mock.started == 3
        assert (await router.ask("/health/ready")).status == 200
        assert await router.in_flight() == 3
        router.clients[0].reset()
        await mock.until(lambda server: server.in_flight == 2)
        mock.behaviour = Behaviour()
        assert (await router.ask(CHAT, HI)).status == 200


async def test_as_many_as_the_limit_are_under_way_at_once(house: Open) -> None:
    async with (
        MockServer(Behaviour(script=("hang",))) as mock,
        house(group(remote("d", mock)), max_concurrent_requests=50) as router,
    ):
        for body in (HI, STREAM) * 25:
            (await router.connect()).writer.write(request(CHAT, body))
        await mock.until(lambda server: server.in_flight == 50)
        assert await router.in_flight() == 50
