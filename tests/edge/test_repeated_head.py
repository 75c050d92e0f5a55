"""A client's second request with the same head goes past aiohttp's parser, and nobody can tell."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from aiohttp.http import HttpRequestParser, RawRequestMessage
from hypothesis import given
from hypothesis import strategies as st

from router.edge.fast_protocol import FastProtocol
from router.edge.repeated_head import RepeatedHead, repeated_head
from tests.edge.house import House, Open, eventually, nothing_left_of, open_house
from tests.edge.wire import CHAT, HI, STREAM, Client, request

KEYS = [{"name": "team", "key": "sk-team"}]


def said(text: str) -> dict[str, Any]:
    return HI | {"messages": [{"role": "user", "content": text}]}


def split(message: bytes) -> tuple[bytes, bytes]:
    head, _, body = message.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


def parsed(head: bytes) -> RawRequestMessage:
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(None, loop, 2**16)
        messages, _, _ = parser.feed_data(head)
    finally:
        loop.close()
    message = messages[0][0]
    assert isinstance(message, RawRequestMessage)
    return message


def learnt(more: str = "") -> RepeatedHead | None:
    head, _ = split(request(CHAT, b"12", headers=more))
    return repeated_head(head, parsed(head), "chat")


KNOWN = learnt()
assert KNOWN is not None
HEAD, _ = split(request(CHAT, b"12"))


def protocol_of(house: House) -> FastProtocol:
    (connection,) = house.app._listener._connections()
    assert isinstance(connection, FastProtocol)
    return connection


async def warm(house: House, headers: str = "") -> Client:
    """A connection that has served one request."""
    client = await house.connect()
    assert (await client.ask(CHAT, HI, headers=headers)).status == 200
    return client


# The comparison.


@given(st.integers(0, 9_999_999_999))
def test_only_the_length_may_differ(length: int) -> None:
    assert KNOWN is not None
    data = HEAD.replace(b"content-length: 2\r\n", b"content-length: %d\r\n" % length)
    assert KNOWN.body_of(data + b"{}") == (len(data), length)


@given(st.integers(0, len(HEAD) - 1), st.integers(0, 255))
def test_any_other_byte_makes_it_another_head(place: int, value: int) -> None:
    assert KNOWN is not None
    changed = bytearray(HEAD)
    changed[place] = value
    digit = HEAD.index(b"2\r\n\r\n")
    same = changed == HEAD or (place == digit and bytes([value]).isdigit())
    assert (KNOWN.body_of(bytes(changed)) is not None) == same


@pytest.mark.parametrize("length", [b"", b"+2", b"-2", b" 2", b"2 ", b"0x2", b"2,2", b"12345678901", b"\xb2"])
def test_a_length_is_one_to_ten_digits(length: bytes) -> None:
    assert KNOWN is not None
    assert KNOWN.body_of(HEAD.replace(b"content-length: 2", b"content-length: " + length)) is None


def test_the_beginning_of_a_head_is_none() -> None:
    assert KNOWN is not None
    assert [end for end in range(len(HEAD)) if KNOWN.body_of(HEAD[:end]) is not None] == []


@pytest.mark.parametrize("more", ["connection: close\r\n", "content-encoding: gzip\r\n"])
def test_heads_that_mean_more_than_a_plain_body_are_not_kept(more: str) -> None:
    assert learnt(more) is None


# On the wire.


async def test_the_second_request_does_not_meet_the_parser(tmp_path: Path) -> None:
    async with open_house(tmp_path / "access.log") as router:
        client = await warm(router)
        for text in ("one", "twenty-one", "x" * 5000):
            assert (await client.ask(CHAT, said(text))).status == 200
        assert protocol_of(router)._request_count == 1


@pytest.mark.both_loops
@pytest.mark.parametrize("size", [10, 300_000])
async def test_a_head_that_came_before_its_body_is_known_too(tmp_path: Path, size: int) -> None:
    async with open_house(tmp_path / "access.log") as router:
        client = await router.connect()
        head, body = split(request(CHAT, said("x" * size)))
        client.writer.write(head)
        await asyncio.sleep(0.02)
        client.writer.write(body)
        assert (await client.receive()).status == 200
        protocol = protocol_of(router)
        assert (protocol._lane._first, protocol._lane._fed) == (b"", 0)
        assert (await client.ask(CHAT, HI)).status == 200
        assert protocol._request_count == 1


@pytest.mark.both_loops
async def test_however_the_second_one_is_cut_the_answer_is_the_same(house: Open) -> None:
    async with house() as router:
        client = await warm(router)
        message = request(CHAT, said("a question of some length"))
        for cut in (1, 20, len(split(message)[0]) - 1, len(split(message)[0]), len(message) - 1):
            client.writer.write(message[:cut])
            await asyncio.sleep(0.01)
            client.writer.write(message[cut:])
            seen = await client.receive()
            assert (seen.status, seen.closed) == (200, False)
            assert (await client.ask(CHAT, HI)).status == 200


async def test_a_body_may_come_byte_by_byte(house: Open) -> None:
    async with house() as router:
        client = await warm(router)
        head, body = split(request(CHAT, HI))
        client.writer.write(head)
        for byte in body:
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.receive()).status == 200


async def test_what_follows_in_the_same_write_is_served_in_order(house: Open) -> None:
    async with house() as router:
        client = await warm(router)
        client.writer.write(request(CHAT, HI) + request(CHAT, STREAM) + request("/health") + request(CHAT, HI))
        first = await client.all_until(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200")
        rest = await client.all_until(b"data: [DONE]")
        assert b'"object":"chat.completion"' in rest.replace(b'": "', b'":"')
        await client.all_until(b"HTTP/1.1 200 OK")
        await client.all_until(b"HTTP/1.1 200 OK")


async def test_other_heads_go_the_way_of_all_requests(house: Open) -> None:
    async with house() as router:
        client = await warm(router)
        assert (await client.ask("/health")).status == 200
        assert (await client.ask(CHAT, HI, headers="x-request-id: mine\r\n")).headers["x-request-id"] == "mine"
        assert (await client.ask(CHAT, HI)).headers["x-request-id"] != "mine"
        seen = await client.ask(CHAT, HI, headers="connection: close\r\n")
        assert seen.status == 200
        assert await client.is_closed()


async def test_a_request_id_is_that_of_its_own_head(house: Open) -> None:
    async with house() as router:
        client = await warm(router, "x-request-id: a\r\n")
        for name in ("a", "b", "b", "a"):
            assert (await client.ask(CHAT, HI, headers=f"x-request-id: {name}\r\n")).headers["x-request-id"] == name


async def test_a_key_is_looked_at_each_time(house: Open) -> None:
    async with house(keys=KEYS) as router:
        client = await warm(router, "authorization: Bearer sk-team\r\n")
        assert (await client.ask(CHAT, HI, headers="authorization: Bearer sk-tean\r\n")).status == 401
        assert (await client.ask(CHAT, HI, headers="authorization: Bearer sk-team\r\n")).status == 200


async def test_a_body_beyond_the_limit_is_a_413(house: Open) -> None:
    async with house(max_body_bytes=2000) as router:
        client = await warm(router)
        assert (await client.ask(CHAT, said("x" * 3000))).status == 413


async def test_a_slow_body_is_a_408(house: Open) -> None:
    async with house(body_timeout=0.1) as router:
        client = await warm(router)
        client.writer.write(request(CHAT, HI)[:-5])
        assert (await client.receive()).status == 408


async def test_a_client_that_leaves_within_its_body_leaves_nothing_behind(house: Open) -> None:
    async with house() as router:
        before = asyncio.all_tasks()
        client = await warm(router)
        client.writer.write(request(CHAT, HI)[:-5])
        await asyncio.sleep(0.01)
        client.reset()
        await nothing_left_of(before)
        assert await router.in_flight() == 0


async def test_an_early_answer_waits_for_the_rest_of_the_body(house: Open) -> None:
    async with house(max_concurrent_requests=1) as router:
        client = await warm(router)
        slow = await warm(router)
        client.writer.write(request(CHAT, HI)[:-5])
        await router.until_in_flight(1)
        message = request(CHAT, HI)
        slow.writer.write(message[:-5])
        assert (await slow.receive()).status == 503
        slow.writer.write(message[-5:])
        client.writer.write(message[-5:])
        assert (await client.receive()).status == 200
        assert (await slow.ask(CHAT, HI)).status == 200


async def test_leaving_waits_for_a_repeated_request(house: Open) -> None:
    async with house() as router:
        client = await warm(router)
        client.writer.write(request(CHAT, HI)[:-5])
        await router.until_in_flight(1)
        stopping = asyncio.create_task(router.stop())
        await eventually(lambda: router.app._listener._service.draining)
        client.writer.write(request(CHAT, HI)[-5:])
        seen = await client.receive()
        assert seen.status == 200
        await stopping


async def test_a_length_beyond_the_limit_is_not_that_of_the_next_request(house: Open) -> None:
    async with house(max_body_bytes=2000) as router:
        client = await router.connect()
        assert (await client.ask(CHAT, said("x" * 3000))).status == 413
        client.writer.write(request(CHAT, HI)[:-5])
        await router.until_in_flight(1)
        client.writer.write(request(CHAT, HI)[-5:])
        assert (await client.receive()).status == 200


@pytest.mark.parametrize("missing", [0, 5], ids=["whole", "its body still coming"])
@pytest.mark.parametrize("what", ["idle for too long", "leaving"])
async def test_who_would_close_an_idle_connection_in_that_moment_finds_it_busy(
    tmp_path: Path, missing: int, what: str
) -> None:
    async with open_house(tmp_path / "access.log") as router:
        client = await warm(router)
        protocol = protocol_of(router)
        message = request(CHAT, HI)
        protocol.data_received(message[: len(message) - missing])
        if what == "leaving":
            protocol.close_if_idle()
        else:
            protocol._next_keepalive_close_time = 0.0
            protocol._process_keepalive()
        protocol.data_received(message[len(message) - missing :])
        assert (await client.receive()).status == 200
        assert protocol._request_count == 1


@pytest.mark.both_loops
async def test_a_connection_that_is_closed_is_free_at_once(house: Open) -> None:
    """Not when the collector comes: it comes seldom."""
    async with house() as router:
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                client = await warm(router)
                await client.ask(CHAT, HI)
                client.writer.write(request(CHAT, HI)[:-1])
                await asyncio.sleep(0)
                client.writer.transport.abort()
                await eventually(lambda: not router.app._listener._connections())
            await asyncio.sleep(0.01)
            assert sum(isinstance(item, FastProtocol) for item in gc.get_objects()) < 3
        finally:
            gc.enable()
