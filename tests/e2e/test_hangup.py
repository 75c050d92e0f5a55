"""Whoever hangs up costs upstream nothing more, seen from outside."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import openai
import pytest

from tests.e2e.conftest import KEY
from tests.e2e.processes import Mock, Router, until

HI: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "say hi"}]}
PROMPTLY = 0.2  # seconds: 0.1 promised, and as much again for a busy machine


async def cancelled_within(mock: Mock, began: float) -> float:
    await asyncio.to_thread(until, lambda: mock.stats()["cancelled"] == 1)
    return time.perf_counter() - began


@pytest.mark.parametrize("kind", ["whole", "before the first token", "in the middle"])
async def test_upstream_is_cancelled_and_nothing_stays_in_flight(mock: Mock, router: Router, kind: str) -> None:
    mock.behave(**{"tokens_per_second": 10, "output_tokens": 1000} if kind == "in the middle" else {"script": ["hang"]})
    async with openai.AsyncOpenAI(base_url=router.url, api_key=KEY, max_retries=0) as client:
        if kind == "in the middle":
            stream = await client.chat.completions.create(**HI, stream=True)
            await anext(stream)
            began = time.perf_counter()
            await stream.close()
        else:
            task = asyncio.create_task(client.chat.completions.create(**HI, stream=kind != "whole"))
            await asyncio.to_thread(until, lambda: mock.stats()["in_flight"] == 1)
            assert router.in_flight() == 1
            began = time.perf_counter()
            task.cancel()
            await asyncio.wait([task])
        assert await cancelled_within(mock, began) < PROMPTLY
    assert router.in_flight() == 0
    assert mock.stats()["in_flight"] == 0
    assert router.metric('router_deployment_breaker_state{deployment="gpt-4o-1",model="gpt-4o"}') == 0
