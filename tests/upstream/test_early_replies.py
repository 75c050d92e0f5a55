"""Replies that come while the request is still being written."""

from __future__ import annotations

import asyncio

import pytest

from router.upstream.client import HttpUpstream
from router.upstream.counters import CloseReason
from tests.upstream.scripted import (
    LAST,
    REQUEST,
    SSE,
    ScriptedNetwork,
    chunk,
    settle,
    timing,
    whole,
)
from tests.virtual_time import virtual_time

TOO_LARGE = b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig"


@pytest.mark.parametrize(
    ("reply", "status", "body"), [(TOO_LARGE, 413, b"big"), (SSE + chunk(b"data: 1\n\n") + LAST, 200, b"data: 1\n\n")]
)
@virtual_time
async def test_an_early_reply_is_the_reply_and_the_rest_of_the_request_never_follows(
    reply: bytes, status: int, body: bytes
) -> None:
    network = ScriptedNetwork([])
    upstream = HttpUpstream(dial=network)
    task = asyncio.create_task(upstream.send(REQUEST._replace(body=b"x" * 1_000_000), timing()))
    await settle()
    transport = network.transports[0]
    transport.unsent = 900_000
    transport.say(reply)
    response = await task
    assert (response.status, await whole(response)) == (status, body)
    await settle()
    assert transport.ending == "aborted"
    assert upstream.counters.closed[CloseReason.REPLY] == 1
    assert repr(upstream.pool) == "<Pool empty>"
