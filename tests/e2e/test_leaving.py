"""SIGTERM and SIGINT: what is under way finishes, and the process ends with 0."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.processes import Mock, Router, deployment, fetch, mock_process, router_process, settings, until

HI: Any = {"model": "m", "messages": [{"role": "user", "content": "say hi"}]}
SLOW = ("--tps", "20", "--tokens", "20")


def client_of(router: Router) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=router.url, api_key="-", max_retries=0, timeout=30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_router_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with router_process(settings({"model_name": "m", "provider": "mock"}), tmp_path) as router:
        router.process.send_signal(number)
        assert router.ended(5) == 0
        assert [event["event"] for event in router.events()] == ["listening", "draining", "stopped"]


async def test_a_running_stream_finishes_first(tmp_path: Path) -> None:
    with mock_process(*SLOW) as mock, router_process(settings(deployment(mock, "m")), tmp_path) as router:
        async with client_of(router) as client:
            stream = await client.chat.completions.create(**HI, stream=True)
            first = await anext(stream)
            router.process.send_signal(signal.SIGTERM)
            chunks = [first] + [chunk async for chunk in stream]
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) == 20
        assert await asyncio.to_thread(router.ended) == 0
        (line,) = [json.loads(text) for text in router.log.read_text().splitlines()]
        assert (line["outcome"], line["status"], line["completion_tokens"]) == ("ok", 200, 20)


@asynccontextmanager
async def told_while_a_stream_stalls(folder: Path, drain_seconds: float) -> AsyncIterator[tuple[Router, Mock, Any]]:
    """A router that has been told to leave, its upstream, and the stream that holds it up."""
    config = settings()
    config["server"] |= {"drain_seconds": drain_seconds}
    with mock_process("--script", "stall", "--tps", "20") as mock:
        config["model_list"] = [deployment(mock, "m")]
        with router_process(config, folder) as router:
            async with client_of(router) as client:
                stream = await client.chat.completions.create(**HI, stream=True)
                await anext(stream)
                router.process.send_signal(signal.SIGTERM)
                yield router, mock, stream


async def test_one_that_takes_too_long_is_told_so(tmp_path: Path) -> None:
    async with told_while_a_stream_stalls(tmp_path, 0.1) as (router, mock, stream):
        with pytest.raises(openai.APIError, match="shutting down"):
            await asyncio.wait_for(_exhaust(stream), 10)
        assert await asyncio.to_thread(router.ended) == 0
        assert mock.stats()["cancelled"] == 1


async def _exhaust(stream: Any) -> None:
    async for _ in stream:
        pass


def test_during_the_delay_it_is_not_ready_but_serves(tmp_path: Path) -> None:
    config = settings({"model_name": "m", "provider": "mock"})
    config["server"] |= {"drain_delay": 1}
    with router_process(config, tmp_path) as router:
        router.process.send_signal(signal.SIGTERM)
        until(lambda: fetch(f"{router.root}/health/ready")[0] == 503)
        assert fetch(f"{router.url}/chat/completions", HI, "POST")[0] == 200
        assert router.ended() == 0


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    config = settings({"model_name": "m", "provider": "mock"})
    config["server"] |= {"drain_delay": 60}
    with router_process(config, tmp_path) as router:
        router.process.send_signal(signal.SIGTERM)
        until(lambda: fetch(f"{router.root}/health/ready")[0] == 503)
        began = time.perf_counter()
        router.process.send_signal(signal.SIGTERM)
        router.ended(10)
        assert time.perf_counter() - began < 5


async def test_and_so_it_does_while_a_stream_holds_it_up(tmp_path: Path) -> None:
    async with told_while_a_stream_stalls(tmp_path, 60) as (router, _, _):
        await asyncio.to_thread(until, lambda: len(router.events()) == 2)
        began = time.perf_counter()
        router.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(router.ended, 10)
        assert time.perf_counter() - began < 5


def test_the_access_log_is_whole_at_the_end(tmp_path: Path) -> None:
    with router_process(settings({"model_name": "m", "provider": "mock"}), tmp_path) as router:
        for _ in range(50):
            assert fetch(f"{router.url}/chat/completions", HI, "POST")[0] == 200
        assert router.terminate() == 0
        lines = [json.loads(line) for line in router.log.read_text().splitlines()]
        assert [line["status"] for line in lines] == [200] * 50
        assert len({line["request_id"] for line in lines}) == 50
