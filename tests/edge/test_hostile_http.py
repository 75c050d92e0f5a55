"""What arrives on a socket is not always a friendly request."""

from __future__ import annotations

import asyncio
import tracemalloc
import zlib

import pytest

from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.edge.house import Open, group, inside, nothing_left_of, remote
from tests.edge.wire import CHAT, HI, STREAM, request

pytestmark = pytest.mark.both_loops

MB = 1024 * 1024
MANY = 2_000
"""Requests: more than aiohttp takes in advance."""


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def head(more: str = "") -> bytes:
    return f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode()


def body_of(message: bytes) -> bytes:
    return message.partition(b"\r\n\r\n")[2]


HI_BYTES = body_of(request(CHAT, HI))


async def test_a_request_may_come_byte_by_byte(house: Open) -> None:
    async with house() as router:
        client = await router.connect()
        for message in (
            request(CHAT, HI),
            head("transfer-encoding: chunked\r\n") + chunked(HI_BYTES[:9], HI_BYTES[9:]),
        ):
            for byte in message:
                client.writer.write(bytes([byte]))
                await asyncio.sleep(0)
            assert (await client.receive()).status == 200


@pytest.mark.parametrize(
    "wrong", [b"zz\r\n", b"-1\r\n", b"5;\x00\r\nhello\r\n", b"3\r\nhello\r\n", b"ffffffffffffffffff\r\n"]
)
async def test_broken_chunks_are_a_400_and_the_end_of_the_connection(house: Open, wrong: bytes) -> None:
    async with house() as router:
        for early in (b"", chunked(HI_BYTES[:9])[:-5]):
            client = await router.connect()
            client.writer.write(head("transfer-encoding: chunked\r\n") + early + wrong)
            seen = await client.receive()
            assert seen.status == 400
            assert seen.error()["type"] == "invalid_request_error"
            assert await client.is_closed()
        assert await router.in_flight() == 0


async def test_a_body_that_ends_early_with_its_connection_troubles_nobody(house: Open) -> None:
    async with house() as router:
        before = asyncio.all_tasks()
        for framing in ("transfer-encoding: chunked\r\n", "content-length: 1000\r\n"):
            client = await router.connect()
            client.writer.write(head(framing) + b"5\r\nhello\r\n")
            await asyncio.sleep(0)
            client.reset()
        await nothing_left_of(before)
        assert await router.in_flight() == 0
        assert {line["status"] for line in await router.log_lines()} <= {499}


async def test_pipelined_requests_are_answered_in_order(house: Open) -> None:
    many = [(HI, b"first"), (STREAM, b"2"), (b"{", b"3"), (HI, b"4"), (STREAM, b"last")]
    async with house() as router:
        client = await router.connect()
        client.writer.write(
            b"".join(request(CHAT, body, headers=f"x-request-id: {id.decode()}\r\n") for body, id in many)
            + request("/health")
            + request(CHAT, HI)
        )
        text = b""
        while text.count(b"HTTP/1.1 ") < 7 or not text.endswith(b"}"):
            text += await client.reader.read(65536)
        replies = text.split(b"HTTP/1.1 ")[1:]
        assert [reply[:3] for reply in replies] == [b"200", b"200", b"400", b"200", b"200", b"200", b"200"]
        for reply, (_, id) in zip(replies, many, strict=False):
            assert b"x-request-id: %b\r\n" % id in reply.replace(b"X-Request-Id", b"x-request-id")


async def test_a_client_that_pipelines_without_end_is_served_in_its_turn(house: Open) -> None:
    async with house() as router:
        client = await router.connect(2**24)
        client.writer.write(request(CHAT, HI) * MANY)
        answered = 0
        while answered < MANY:
            answered += (await client.all_until(b'"system_fingerprint":null}')).count(b"HTTP/1.1 200 ")
        assert await router.metric('router_attempts_total{deployment="d",model="m",outcome="ok"}') == MANY


async def test_who_waits_for_100_continue_gets_it(house: Open) -> None:
    async with house() as router:
        client = await router.connect()
        for _ in range(2):
            client.writer.write(head(f"expect: 100-continue\r\ncontent-length: {len(HI_BYTES)}\r\n"))
            assert await client.all_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.writer.write(HI_BYTES)
            seen = await client.receive()
            assert (seen.status, seen.complete) == (200, True)


async def test_who_waits_for_100_continue_with_too_much_is_refused_at_once(house: Open) -> None:
    async with house(max_body_bytes=1000) as router:
        client = await router.connect()
        client.writer.write(head("expect: 100-continue\r\ncontent-length: 1001\r\n"))
        assert (await client.receive()).status == 413


async def test_an_http_1_0_client_gets_its_answer_and_the_end_of_the_connection(house: Open) -> None:
    async with house() as router:
        client = await router.connect()
        seen = await client.ask(CHAT, HI, version="1.0")
        assert (seen.status, seen.json()["object"]) == (200, "chat.completion")
        assert await client.is_closed()
        client = await router.connect()
        client.writer.write(request(CHAT, STREAM, version="1.0"))
        text = await client.reader.read()
        assert b"transfer-encoding" not in text.lower()
        assert text.endswith(b"\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize("body", [HI, STREAM, b"{"], ids=["whole", "stream", "error"])
async def test_connection_close_is_obeyed_and_announced(house: Open, body: object) -> None:
    async with house() as router:
        client = await router.connect()
        seen = await client.ask(CHAT, body, headers="connection: close\r\n")
        assert seen.complete
        assert seen.headers["connection"] == "close"
        assert await client.is_closed()


@pytest.mark.parametrize("path", [CHAT, "/health", "/nowhere"])
async def test_a_connection_is_kept_otherwise(house: Open, path: str) -> None:
    async with house() as router:
        client = await router.connect()
        for body in (HI, STREAM, b"{", HI):
            seen = await client.ask(path, body if path == CHAT else None)
            assert seen.complete
            assert seen.headers.get("connection", "keep-alive") == "keep-alive"


GARBAGE = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "zeros": bytes(1000),
    "text": b"hello, are you there?\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"POST /v1/chat/completions HTTP/9.9\r\nhost: x\r\n\r\n",
    "a space in a name": head("x y: z\r\n"),
    "two lengths": head("content-length: 2\r\ncontent-length: 3\r\n") + b"{}{",
    "a signed length": head("content-length: +2\r\n") + b"{}",
    "a negative length": head("content-length: -1\r\n"),
    "length and chunks": head("content-length: 2\r\ntransfer-encoding: chunked\r\n") + chunked(b"{}"),
    "an unknown coding": head("transfer-encoding: rot13, chunkedd\r\n") + b"{}",
    "a NUL in a value": head("x: a\x00b\r\n"),
    "a folded header": head("x: a\r\n b\r\n") + b"",
}


@pytest.mark.parametrize("bytes_", GARBAGE.values(), ids=GARBAGE)
async def test_what_is_no_http_gets_a_400_and_a_closed_connection(house: Open, bytes_: bytes) -> None:
    async with house() as router:
        client = await router.connect()
        client.writer.write(bytes_)
        seen = await client.receive()
        assert seen.status == 400
        assert seen.error()["code"] == "bad_http"
        assert await client.is_closed()
        assert (await router.ask(CHAT, HI)).status == 200


LARGE_HEADERS = {
    "one field of 1 MB": b"x-big: " + b"x" * MB + b"\r\n",
    "one name of 1 MB": b"x" * MB + b": y\r\n",
    "1 MB of fields": b"".join(b"x-%d: %b\r\n" % (i, b"y" * 8000) for i in range(131)),
    "20,000 fields": b"".join(b"x-%d: y\r\n" % i for i in range(20_000)),
}


@pytest.mark.parametrize("fields", LARGE_HEADERS.values(), ids=LARGE_HEADERS)
async def test_headers_that_are_too_large_are_a_431(house: Open, fields: bytes) -> None:
    async with house() as router:
        client = await router.connect()
        client.writer.write(b"POST %b HTTP/1.1\r\nhost: x\r\n%b\r\n" % (CHAT.encode(), fields))
        seen = await client.receive()
        assert (seen.status, seen.error()["code"]) == (431, "header_too_large")
        assert await client.is_closed()


async def test_a_request_line_of_1_mb_is_a_431(house: Open) -> None:
    async with house() as router:
        seen = await router.ask("/" + "x" * MB)
        assert (seen.status, seen.error()["code"]) == (431, "header_too_large")


@pytest.mark.parametrize("before", [0, 2], ids=["at first", "behind a repeated one"])
async def test_a_head_that_comes_byte_by_byte_is_not_waited_for(
    house: Open, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """However often a byte of it comes, the whole of it has as long as a connection may be idle."""
    monkeypatch.setattr("router.app.KEEPALIVE_TIMEOUT", 0.2)
    async with house() as router:
        tasks = asyncio.all_tasks()
        client = await router.connect()
        for _ in range(before):
            assert (await client.ask(CHAT, HI)).status == 200
        async with asyncio.timeout(5):
            for byte in request(CHAT, HI, headers="x: " + "y" * 5000 + "\r\n"):
                if client.reader.at_eof() or client.writer.is_closing():
                    break
                client.writer.write(bytes([byte]))
                await asyncio.sleep(0.01)
        assert await client.is_closed()
        await nothing_left_of(tasks)


async def test_a_client_that_closes_its_half_is_gone(house: Open) -> None:
    async with MockServer(Behaviour(script=("hang",))) as mock, house(group(remote("d", mock))) as router:
        client = await router.connect()
        client.writer.write(request(CHAT, HI))
        await mock.until(lambda server: server.in_flight == 1)
        client.writer.write_eof()
        await mock.until(lambda server: server.cancelled == 1)
        assert await client.is_closed()
        assert await router.in_flight() == 0


@pytest.mark.parametrize(
    "id", ["a\r\nx-evil: 1", "a\nx-evil: 1", "a\rx-evil: 1", "a\x00b", "a\x85x-evil: 1", "a\u2028b", "a\tb", "\x1b[31m"]
)
async def test_no_request_id_makes_a_header_of_its_own(house: Open, id: str) -> None:
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        for path, body in ((CHAT, HI), (CHAT, STREAM), ("/nowhere", None)):
            seen = await router.ask(path, body, headers=f"x-request-id: {id}\r\n")
            assert "x-evil" not in seen.headers
            if seen.status != 400:  # a lone CR or LF may be refused as no HTTP
                assert seen.headers["x-request-id"].isprintable()
        for sent in mock.requests:
            assert sent.headers["x-request-id"].isprintable()


def bomb(size: int, coding: str) -> bytes:
    """Zeros, 1,000 times smaller than they are."""
    packer = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    return b"".join(packer.compress(bytes(MB)) for _ in range(size // MB)) + packer.flush()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_packed_body_is_unpacked(house: Open, coding: str) -> None:
    packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    packed = packer.compress(HI_BYTES) + packer.flush()
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        assert (await router.ask(CHAT, packed, headers=f"content-encoding: {coding}\r\n")).status == 200
        assert mock.requests[-1].body == HI_BYTES.replace(b'"m"', b'"up-model"')
        assert "content-encoding" not in mock.requests[-1].headers


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_a_body_that_is_not_packed_as_it_says_is_a_400(house: Open, coding: str) -> None:
    async with house() as router:
        seen = await router.ask(CHAT, b"\x00\x01 no such thing", headers=f"content-encoding: {coding}\r\n")
        assert (seen.status, seen.error()["type"]) == (400, "invalid_request_error")
        assert (await router.ask(CHAT, HI)).status == 200


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_such_a_body_costs_its_connection_and_nothing_else(
    house: Open, framing: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with house() as router:
        before = asyncio.all_tasks()
        client = await router.connect()
        for _ in range(2):
            assert (await client.ask(CHAT, HI)).status == 200
        if framing == "length":
            seen = await client.ask(CHAT, b"\x00\x01 no such thing", headers="content-encoding: gzip\r\n")
        else:
            client.writer.write(head("content-encoding: gzip\r\ntransfer-encoding: chunked\r\n") + chunked(b"\x00\x01"))
            seen = await client.receive()
        assert seen.status == 400
        assert await client.is_closed()
        await nothing_left_of(before)
        assert await router.in_flight() == 0
        assert caplog.messages == []


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_is_a_413_and_is_never_unpacked_whole(house: Open, coding: str) -> None:
    packed = bomb(64 * MB, coding)
    async with house(max_body_bytes=2 * MB) as router:
        tracemalloc.start()
        try:
            seen = await router.ask(CHAT, packed, headers=f"content-encoding: {coding}\r\n")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (seen.status, seen.error()["code"]) == (413, "request_too_large")
        assert peak < 16 * MB
        assert (await router.ask(CHAT, HI)).status == 200


async def test_upgrade_requests_are_answered_like_any_other(house: Open) -> None:
    async with house(group(inside())) as router:
        client = await router.connect()
        for name in ("websocket", "h2c"):
            seen = await client.ask(CHAT, HI, headers=f"connection: upgrade\r\nupgrade: {name}\r\n")
            assert seen.status == 200
