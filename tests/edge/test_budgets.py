"""Keys with budgets: what a request costs is spent, and what is spent is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from router.core.types import Prices
from router.dialects.mock.behaviour import Behaviour
from tests.edge.house import House, Open, group, inside
from tests.edge.wire import CHAT, HI, STREAM, Seen

DOLLAR = Prices(0.0, 1.0)
"""A dollar for each token of output."""


def key(budget: float, **more: Any) -> list[dict[str, Any]]:
    return [{"name": "small", "key": "sk-small", "max_budget": budget, **more}, {"name": "free", "key": "sk-free"}]


async def ask(router: House, body: object = None, who: str = "small") -> Seen:
    return await router.ask(CHAT, HI if body is None else body, headers=f"authorization: Bearer sk-{who}\r\n")


def priced(**more: Any) -> Any:
    return inside("d", Behaviour(output_tokens=2), prices=DOLLAR, **more)


@pytest.mark.parametrize("body", [HI, STREAM], ids=["whole", "stream"])
async def test_a_key_whose_budget_is_spent_gets_a_429_and_others_do_not(house: Open, body: dict[str, Any]) -> None:
    async with house(group(priced()), keys=key(3.0, budget_period="1d")) as router:
        answers = [await ask(router, body) for _ in range(3)]
        assert [seen.status for seen in answers] == [200, 200, 429]
        error = answers[-1].error()
        assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
        assert "small has spent its budget of 3 US dollars; the next period begins in" in error["message"]
        assert answers[-1].headers["x-should-retry"] == "false"
        assert 0 < int(answers[-1].headers["retry-after"]) <= 86_400
        assert (await ask(router, body, "free")).status == 200


async def test_a_budget_without_a_period_names_no_time_to_come_back(house: Open) -> None:
    async with house(group(priced()), keys=key(0.0)) as router:
        seen = await ask(router)
        assert seen.status == 429
        assert "retry-after" not in seen.headers


async def test_a_model_of_unknown_price_spends_nothing(house: Open) -> None:
    async with house(group(inside()), keys=key(0.001)) as router:
        assert [(await ask(router)).status for _ in range(3)] == [200] * 3


async def test_the_budget_is_checked_again_before_another_model_takes_over(house: Open) -> None:
    silent = inside("silent", Behaviour(script=("hang",)))
    groups = [
        group(silent, num_retries=0, fallbacks=("n",), attempt_timeout=0.7),
        group(priced(model_name="n"), name="n"),
    ]
    async with house(*groups, keys=key(1.5)) as router:
        waiting = asyncio.create_task(ask(router))
        await router.until_in_flight(1)
        assert (await ask(router, HI | {"model": "n"})).status == 200  # and the budget is spent
        seen = await waiting
        assert seen.status == 429
        assert seen.error()["code"] == "insufficient_quota"
