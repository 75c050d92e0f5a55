"""A backend dies in the middle of a load, and comes back: the clients see nothing of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai

from tests.e2e.processes import at_once, deployment, mock_process, router_process, settings, until

CONCURRENT = 200
HI: Any = {"model": "m", "messages": [{"role": "user", "content": "say hi"}]}
PACE = ("--ttft", "0.1")


class Load:
    """So many clients, each asking again as soon as it has its answer."""

    def __init__(self, url: str) -> None:
        self.served: Counter[str] = Counter()
        self.attempts: Counter[int] = Counter()
        self.errors: list[Exception] = []
        self._client = openai.AsyncOpenAI(base_url=url, api_key="-", max_retries=0, timeout=30)
        self._over = False
        self._tasks = [asyncio.create_task(self._one()) for _ in range(CONCURRENT)]

    async def until(self, count: int, id: str = "") -> None:
        """Wait for so many more answers (of one deployment)."""
        goal = self._count(id) + count
        async with asyncio.timeout(30):
            while True:
                if self.errors or self._count(id) >= goal:
                    return
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)
        await self._client.close()

    def _count(self, id: str) -> int:
        return self.served[id] if id else self.served.total()

    async def _one(self) -> None:
        while not self._over:
            try:
                raw = await self._client.chat.completions.with_raw_response.create(**HI)
                assert raw.parse().choices[0].message.content
                self.served[raw.headers["x-router-deployment"]] += 1
                self.attempts[int(raw.headers["x-router-attempts"])] += 1
            except Exception as error:
                self.errors.append(error)


async def test_no_request_fails_and_traffic_comes_back_to_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        alive, doomed = at_once(stack, mock_process(*PACE), mock_process(*PACE))
        config = settings(
            deployment(alive, "m", id="alive"),
            deployment(doomed, "m", id="doomed"),
            routing={"cooldown": {"base": 0.3, "max": 0.6}},
        )
        router = stack.enter_context(router_process(config, tmp_path))
        load = Load(router.url)
        await load.until(2 * CONCURRENT)
        assert load.served["doomed"] > CONCURRENT / 4

        await asyncio.to_thread(until, lambda: doomed.stats()["in_flight"] > CONCURRENT / 8)
        doomed.kill()
        await load.until(2 * CONCURRENT)
        assert load.errors == []
        assert load.attempts.keys() - {1}

        again = stack.enter_context(mock_process(*PACE, port=doomed.port))
        await load.until(CONCURRENT, "doomed")
        assert again.stats()["completed"] > 0
        await load.end()

        assert load.errors == []
        assert router.in_flight() == 0
        assert router.metric('router_deployment_in_flight{deployment="doomed",model="m"}') == 0
        told = [event["event"] for event in router.events() if event.get("deployment") == "doomed"]
        assert {"cooldown", "recovered"} <= set(told)
        assert router.metric('router_cooldowns_total{deployment="alive",reason="disconnected"}') == 0


async def test_an_upstream_that_is_gone_for_good_is_a_503_until_it_is_back(tmp_path: Path) -> None:
    with ExitStack() as stack:
        only = stack.enter_context(mock_process())
        config = settings(deployment(only, "m", id="only"), routing={"num_retries": 0, "cooldown": {"base": 0.2}})
        router = stack.enter_context(router_process(config, tmp_path))
        client = openai.AsyncOpenAI(base_url=router.url, api_key="-", max_retries=0, timeout=30)
        only.kill()
        statuses = []
        for _ in range(5):
            try:
                await client.chat.completions.create(**HI)
            except openai.APIStatusError as error:
                statuses.append(error.status_code)
        assert statuses[0] == 502
        assert statuses[-1] == 503
        stack.enter_context(mock_process(port=only.port))
        patient = client.with_options(max_retries=20)  # it obeys the 503's retry-after
        assert (await patient.chat.completions.create(**HI)).choices
        await client.close()
