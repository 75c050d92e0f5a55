"""The streaming rules, byte by byte."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from typing import Any

import pytest

from router.core.types import ModelGroup
from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.edge.house import Open, group, inside, remote
from tests.edge.upstreams import HEAD, upstream
from tests.edge.wire import CHAT, HI, STREAM, request

pytestmark = pytest.mark.both_loops

USAGE = {"stream_options": {"include_usage": True}}
FRAME = re.compile(rb"data: ([^\r\n]+)\n\n")


def chunks_of(body: bytes) -> list[Any]:
    """The JSON of every frame but the last, which must be [DONE]; nothing may stand between frames."""
    frames = FRAME.findall(body)
    assert b"".join(b"data: %b\n\n" % frame for frame in frames) == body
    assert frames[-1] == b"[DONE]"
    return [json.loads(frame) for frame in frames[:-1]]


def text_of(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def test_frames_are_exactly_data_and_json_and_end_with_done(house: Open) -> None:
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        seen = await router.ask(CHAT, STREAM)
        chunks = chunks_of(seen.body)
        assert seen.complete
        assert text_of(chunks) == "Hello from up-model! You said: say hi"
        assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]


async def test_legacy_completions_stream_alike(house: Open) -> None:
    async with house() as router:
        seen = await router.ask("/v1/completions", {"model": "m", "prompt": "say hi", "stream": True})
        chunks = chunks_of(seen.body)
        assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "Hello from up-model! You said: say hi"


async def test_usage_comes_to_those_who_asked_and_in_a_chunk_of_its_own(house: Open) -> None:
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        *chunks, last = chunks_of((await router.ask(CHAT, STREAM | USAGE)).body)
        assert last["choices"] == []
        assert last["usage"] == {"prompt_tokens": 2, "completion_tokens": 7, "total_tokens": 9}
        assert all(chunk["choices"] and chunk["usage"] is None for chunk in chunks)
        for body in (
            STREAM,
            *(STREAM | {"stream_options": options} for options in ({}, {"include_usage": False}, None)),
        ):
            chunks = chunks_of((await router.ask(CHAT, body)).body)
            assert all(chunk["choices"] and not chunk.get("usage") for chunk in chunks)
            assert json.loads(mock.requests[-1].body)["stream_options"]["include_usage"] is True
        lines = await router.log_lines()
        assert [line["completion_tokens"] for line in lines] == [7] * 5


async def test_line_ends_and_comments_of_upstream_are_not_the_clients(house: Open) -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":%b}]}\r\n\r\n'
    pieces = [HEAD, b": hello\r\n\r\n", chunk % (b"a", b"null"), b"event: x\r\nid: 1\r\n" + chunk % (b"b", b'"stop"')]
    stream = b"".join([*pieces, b"data: [DONE]\r\n\r\n"])
    for cut in (len(stream), 7, 1):
        async with (
            upstream([stream[at : at + cut] for at in range(0, len(stream), cut)]) as (deployment, _),
            house(group(deployment)) as router,
        ):
            assert text_of(chunks_of((await router.ask(CHAT, STREAM)).body)) == "ab"


async def test_nothing_is_sent_before_the_first_content(house: Open) -> None:
    async with MockServer(Behaviour(time_to_first_token=30)) as mock, house(group(remote("d", mock))) as router:
        client = await router.connect()
        client.writer.write(request(CHAT, STREAM))
        await mock.until(lambda server: server.in_flight == 1)
        for _ in range(3):
            await router.ask("/health")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await client.reader.read(1)


@pytest.mark.parametrize("step", ["503", "reset", "garbage", "error", "429", "hang"])
async def test_what_fails_before_that_is_tried_elsewhere(house: Open, step: str) -> None:
    bad = inside("bad", Behaviour(script=(step,)))
    first = group(bad, inside("good"), strategy="round-robin", first_token_timeout=0.1)
    async with house(first) as router:
        for _ in range(2):  # whichever comes first
            seen = await router.ask(CHAT, STREAM)
            assert (seen.status, seen.headers["x-router-deployment"]) == (200, "good")
            assert chunks_of(seen.body)


@pytest.mark.parametrize("step", ["truncate", "late-error"])
async def test_what_fails_after_that_ends_with_an_error_in_the_stream(house: Open, step: str) -> None:
    async with (
        MockServer(Behaviour(script=(step, "ok"), tokens_per_second=200)) as mock,
        house(ModelGroup("m", ((remote("d", mock),), (inside("other"),)))) as router,
    ):
        client = await router.connect()
        seen = await client.ask(CHAT, STREAM)
        assert (seen.status, seen.complete) == (200, True)
        *frames, last = FRAME.findall(seen.body)
        assert b"[DONE]" not in seen.body
        assert text_of([json.loads(frame) for frame in frames]).startswith("Hello")
        error = json.loads(last)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["code"], error["type"]) == ("stream_broken", "api_error")
        assert "1 attempt: d " in error["message"]
        assert str(mock.port) not in error["message"]
        assert (await client.ask(CHAT, HI)).status == 200
        line = (await router.log_lines())[0]
        assert (line["outcome"], line["error"], line["attempts"]) == ("broken", "stream_broken", 1)


async def test_a_silent_stream_is_kept_awake_by_comments(house: Open) -> None:
    async with (
        MockServer(Behaviour(script=("stall",))) as mock,
        house(group(remote("d", mock)), sse_keepalive=0.03) as router,
    ):
        client = await router.connect()
        client.writer.write(request(CHAT, STREAM))
        assert b"data: {" in await client.all_until(b": keep-alive\n\n")
        for _ in range(2):
            assert b"data" not in await client.all_until(b": keep-alive\n\n")


async def test_a_stream_that_stands_still_for_too_long_is_broken_off(house: Open) -> None:
    async with (
        MockServer(Behaviour(script=("stall",))) as mock,
        house(group(remote("d", mock), stream_idle_timeout=0.05)) as router,
    ):
        seen = await router.ask(CHAT, STREAM)
        assert b'"code":"stream_broken"' in seen.body
        await mock.until(lambda server: server.cancelled == 1)


async def test_a_stream_leaves_both_its_connections_fit_for_the_next(house: Open) -> None:
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        client = await router.connect()
        for body in (STREAM, HI, STREAM, STREAM | USAGE, HI):
            seen = await client.ask(CHAT, body)
            assert (seen.status, seen.complete) == (200, True)
        assert mock.accepted == 1


MB = 1024 * 1024
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 8000)
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


async def test_a_client_that_does_not_read_holds_upstream_back(house: Open) -> None:
    count = 32 * MB // len(EVENT)
    async with (
        upstream([HEAD, *[EVENT] * count, LAST]) as (deployment, writing),
        house(group(deployment)) as router,
    ):
        client = await router.connect(limit=64 * 1024)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.writer.write(request(CHAT, STREAM, headers="connection: close\r\n"))
        assert await writing.stuck() < 16 * MB
        assert (await router.ask("/health")).status == 200
        received, tail = 0, b""
        while data := await client.reader.read(MB):
            received += data.count(b"data: {")
            tail = tail[-200:] + data
        assert writing.done
        assert count <= received + 200  # some markers are cut in two by the reads
        assert tail.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_a_client_that_hangs_up_without_having_read_frees_upstream_too(house: Open) -> None:
    async with (
        upstream([HEAD, *[EVENT] * 8000, LAST]) as (deployment, writing),
        house(group(deployment)) as router,
    ):
        client = await router.connect(limit=64 * 1024)
        client.writer.write(request(CHAT, STREAM))
        await writing.stuck()
        client.reset()
        await router.until_in_flight(0)
        assert not writing.done
