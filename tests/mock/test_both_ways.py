"""The same behaviour gives the same bytes in-process and over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from math import inf
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import Deployment
from router.dialects.base import Origin, WireRequest
from router.dialects.mock.behaviour import ACTIONS, Behaviour
from router.mock.server import MockServer
from router.upstream.base import Timing
from router.upstream.inprocess import MockUpstream
from tests.mock.raw import connect, request

ENDLESS = ("hang", "stall")  # end by time alone: tests/mock/test_inprocess.py
STEPS = [step for step in ACTIONS if step not in ENDLESS] + ["400", "404", "429", "500", "529"]
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)

CHATS = st.fixed_dictionaries(
    {"model": st.sampled_from(["gpt-4o", "ü/ñ"]), "messages": st.just([{"role": "user", "content": "say hi"}])},
    optional={"stream": st.booleans(), "n": st.integers(1, 3), "max_tokens": st.integers(0, 9), "stop": WORDS},
)
PROMPTS = st.fixed_dictionaries(
    {"model": st.just("m"), "prompt": WORDS | st.lists(WORDS, max_size=3)}, optional={"stream": st.booleans()}
)
INPUTS = st.fixed_dictionaries({"model": st.just("m"), "input": WORDS}, optional={"dimensions": st.integers(1, 9)})
REQUESTS = st.one_of(
    st.tuples(st.just("/v1/chat/completions"), CHATS),
    st.tuples(st.just("/v1/completions"), PROMPTS),
    st.tuples(st.just("/v1/embeddings"), INPUTS),
)
BEHAVIOURS = st.builds(
    Behaviour,
    script=st.lists(st.sampled_from(STEPS), max_size=3).map(tuple),
    failure_rate=st.sampled_from([0.0, 0.5]),
    failure=st.sampled_from(STEPS),
    output_tokens=st.integers(0, 20),
    retry_after=st.none() | st.floats(0, 100),
    rate_limit_headers=st.booleans(),
    reply=WORDS,
)

Result = tuple[object, dict[str, str], bytes]
"""Status or failure, headers without the socket's own, body."""


class Sink:
    def __init__(self) -> None:
        self.body = b""
        self.end: asyncio.Future[UpstreamFailure | None] = asyncio.get_running_loop().create_future()

    def data(self, data: bytes) -> None:
        self.body += data

    def closed(self, failure: UpstreamFailure | None) -> None:
        self.end.set_result(failure)


async def in_process(behaviour: Behaviour, asked: list[tuple[str, dict[str, Any]]]) -> list[Result]:
    upstream = MockUpstream(seed=5, wall=lambda: 1.7e9)
    deployment = Deployment(id="d", model_name="m", provider="mock", model="m", options=behaviour)
    results: list[Result] = []
    for path, body in asked:
        wire = WireRequest(
            Origin("mock", "mock", 0), f"POST {path} HTTP/1.1\r\n\r\n".encode(), orjson.dumps(body), deployment
        )
        timing = Timing(asyncio.get_running_loop().time() + 5, 5, inf, 5)
        try:
            response = await upstream.send(wire, timing)
        except UpstreamFailure as failure:
            results.append((failure.kind, {}, b""))
            continue
        headers = {name.decode(): value.decode() for name, value in response.headers.items()}
        if response.stream is None:
            results.append((response.status, headers, response.body))
        else:
            sink = Sink()
            response.stream.attach(sink)
            broken = await sink.end
            results.append((broken.kind if broken else 200, headers, sink.body))
    return results


async def over_a_socket(behaviour: Behaviour, asked: list[tuple[str, dict[str, Any]]]) -> list[Result]:
    results: list[Result] = []
    async with MockServer(behaviour, seed=5, wall=lambda: 1.7e9) as server:
        for path, body in asked:
            client = await connect(server)
            client.writer.write(request(path, body))
            seen = await client.receive()
            await client.close()
            chunked = seen.headers.pop("transfer-encoding", "") == "chunked"
            if seen.complete:
                results.append((seen.status, seen.headers, seen.body))
            elif seen.garbage:
                results.append((FailureKind.PROTOCOL, {}, b""))
            elif chunked:
                results.append((FailureKind.DISCONNECTED, seen.headers, seen.body))
            else:
                results.append((FailureKind.DISCONNECTED, {}, b""))
    return results


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@given(behaviour=BEHAVIOURS, asked=st.lists(REQUESTS, min_size=1, max_size=4))
def test_in_process_equals_the_socket_byte_for_byte(
    runner: asyncio.Runner, behaviour: Behaviour, asked: list[tuple[str, dict[str, Any]]]
) -> None:
    inside = runner.run(in_process(behaviour, asked))
    assert inside == runner.run(over_a_socket(behaviour, asked))
