"""A bad day: of four deployments two hang, one answers 429 at once, and one is well. Real processes, real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from tests.e2e.processes import Mock, at_once, deployment, mock_process, router_process, settings

REQUESTS, CONCURRENCY = 500, 50
REFUSALS = 'router_attempts_total{deployment="limited",model="m",outcome="rate_limited"}'
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


class Upstreams(NamedTuple):
    hanging: Mock
    hanging_too: Mock
    limited: Mock
    well: Mock


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Upstreams]:
    with ExitStack() as stack:
        scripts = (["--script", "hang"], ["--script", "hang"], ["--script", "429"], ["--ttft", "0.1"])
        yield Upstreams(*at_once(stack, *(mock_process(*script) for script in scripts)))


class Answer(NamedTuple):
    attempts: int
    deployment: str


async def ask(url: str, stream: bool) -> list[Answer]:
    """500 requests, 50 at a time. Raises openai.APIError where one of them fails."""
    answers: list[Answer] = []
    left = iter(range(REQUESTS))
    async with openai.AsyncOpenAI(base_url=url, api_key="-", max_retries=0, timeout=60) as client:

        async def one_after_the_other() -> None:
            for _ in left:
                raw = await client.chat.completions.with_raw_response.create(**BODY, stream=stream)
                reply: Any = raw.parse()
                assert [chunk async for chunk in reply] if stream else reply.choices
                answers.append(Answer(int(raw.headers["x-router-attempts"]), raw.headers["x-router-deployment"]))

        await asyncio.gather(*(one_after_the_other() for _ in range(CONCURRENCY)))
    return answers


@pytest.mark.parametrize(("strategy", "stream"), [("least-busy", False), ("latency-based", True)])
async def test_nobody_notices(upstreams: Upstreams, tmp_path: Path, strategy: str, stream: bool) -> None:
    for mock in upstreams:
        mock.reset()
    config = settings(
        *(deployment(mock, "m", id=name) for name, mock in zip(Upstreams._fields, upstreams, strict=True)),
        routing={"attempt_timeout": 1, "strategy": strategy},
    )
    with router_process(config, tmp_path) as router:
        first = await ask(router.url, stream)
        assert len(first) == REQUESTS
        assert {answer.deployment for answer in first} == {"well"}

        opened = {event["deployment"] for event in router.events() if event["event"] == "cooldown"}
        assert {"hanging", "hanging_too"} <= opened
        limited_before = router.metric(REFUSALS)
        then = await ask(router.url, stream)
        assert len(then) == REQUESTS
        assert {answer.deployment for answer in then} == {"well"}
        assert sum(answer.attempts for answer in then) / len(then) <= 1.1

        limited = router.metric(REFUSALS)
        assert limited_before > 0
        assert limited - limited_before <= 0.1 * REQUESTS, "far below its part: answering fast makes nobody a favourite"
        assert router.in_flight() == 0
