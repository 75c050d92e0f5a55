"""Two keys at one router: what each may use, what it is told of that, and who waits for whom."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from router.core.types import QueuePolicy
from router.dialects.mock.behaviour import Behaviour
from router.edge.fields import span
from router.mock.server import MockServer
from tests.edge.house import House, Open, group, inside, remote
from tests.edge.wire import CHAT, HI, STREAM, Seen

FREE = {"name": "free", "key": "sk-free"}
NAMES = ("limit", "remaining", "reset")


def key(**limits: Any) -> list[dict[str, Any]]:
    """A key with these limits, and one without any."""
    return [{"name": "small", "key": "sk-small", **limits}, FREE]


async def ask(router: House, body: object = None, who: str = "small", path: str = CHAT) -> Seen:
    return await router.ask(path, HI if body is None else body, headers=f"authorization: Bearer sk-{who}\r\n")


def told(seen: Seen) -> dict[str, str]:
    return {name: value for name, value in seen.headers.items() if name.startswith("x-ratelimit")}


def remaining(seen: Seen, what: str = "requests") -> int:
    return int(seen.headers[f"x-ratelimit-remaining-{what}"])


@pytest.mark.parametrize("body", [HI, STREAM], ids=["whole", "stream"])
async def test_exactly_as_many_requests_as_the_limit_says_are_served(house: Open, body: dict[str, Any]) -> None:
    async with house(keys=key(rpm=3)) as router:
        answers = [await ask(router, body) for _ in range(5)]
        assert [seen.status for seen in answers] == [200, 200, 200, 429, 429]
        assert [remaining(seen) for seen in answers] == [2, 1, 0, 0, 0]


async def test_the_429_says_what_is_used_up_and_when_to_come_again(house: Open) -> None:
    async with house(keys=key(rpm=1)) as router:
        await ask(router)
        seen = await ask(router)
        error = seen.error()
        assert (error["code"], error["type"], error["param"]) == ("rate_limit_exceeded", "rate_limit_error", None)
        assert re.fullmatch(r"small has used its 1 requests per minute; try again in \d\d\.\d s", error["message"])
        assert 55 <= int(seen.headers["retry-after"]) <= 60
        assert 55_000 <= int(seen.headers["retry-after-ms"]) <= 60_000
        assert "x-should-retry" not in seen.headers


async def test_one_keys_limit_is_not_anothers(house: Open) -> None:
    async with house(keys=key(rpm=1)) as router:
        assert [(await ask(router)).status for _ in range(2)] == [200, 429]
        assert [(await ask(router, who="free")).status for _ in range(3)] == [200] * 3


ANSWERED = {
    "a reply": (CHAT, HI),
    "a stream": (CHAT, STREAM),
    "a bad body": (CHAT, b"{"),
    "a bad parameter": (CHAT, HI | {"n": "two"}),
    "an unknown model": (CHAT, HI | {"model": "nobody"}),
}


@pytest.mark.parametrize(("path", "body"), ANSWERED.values(), ids=ANSWERED)
async def test_every_answer_to_a_key_with_limits_tells_them_and_no_other_does(
    house: Open, path: str, body: object
) -> None:
    async with house(keys=key(rpm=60, tpm=10_000)) as router:
        seen = await ask(router, body, path=path)
        assert set(told(seen)) == {f"x-ratelimit-{name}-{what}" for name in NAMES for what in ("requests", "tokens")}
        assert seen.headers["x-ratelimit-limit-requests"] == "60"
        assert seen.headers["x-ratelimit-limit-tokens"] == "10000"
        served = seen.status == 200
        assert remaining(seen) == (59 if served else 60)
        assert seen.headers["x-ratelimit-reset-requests"] == ("1m0s" if served else "0s")
        assert told(await ask(router, body, who="free", path=path)) == {}
        assert told(await ask(router, body, who="nobody", path=path)) == {}


@pytest.mark.parametrize(("limits", "what"), [({"rpm": 5}, "requests"), ({"tpm": 5000}, "tokens")])
async def test_only_what_is_limited_is_told(house: Open, limits: dict[str, int], what: str) -> None:
    async with house(keys=key(**limits)) as router:
        assert set(told(await ask(router))) == {f"x-ratelimit-{name}-{what}" for name in NAMES}


async def test_tokens_are_reserved_on_the_estimate_and_settled_on_the_true_usage(house: Open) -> None:
    deployment = inside("d", Behaviour(output_tokens=7))
    body = HI | {"max_tokens": 1000}
    async with house(group(deployment), keys=key(tpm=5000)) as router:
        first = await ask(router, body)
        assert 3900 < remaining(first, "tokens") < 4000
        usage = first.json()["usage"]
        assert usage["completion_tokens"] == 7
        second = await ask(router, HI | {"max_tokens": 7})
        estimate = 5000 - usage["prompt_tokens"] - 7 - remaining(second, "tokens")
        assert 7 < estimate < 60
        assert (await ask(router, HI | {"max_tokens": 7})).status == 200


async def test_a_burst_on_tokens_is_held_before_the_first_is_answered(house: Open) -> None:
    slow = inside("d", Behaviour(time_to_first_token=0.2))
    async with house(group(slow), keys=key(tpm=2500)) as router:
        answers = await asyncio.gather(*(ask(router, HI | {"max_tokens": 1000}) for _ in range(6)))
        assert sorted(seen.status for seen in answers) == [200, 200, 429, 429, 429, 429]
        assert {seen.json()["error"]["code"] for seen in answers if seen.status == 429} == {"rate_limit_exceeded"}


async def test_requests_at_once_are_limited_until_one_ends_or_hangs_up(house: Open) -> None:
    slow = inside("d", Behaviour(script=("hang",)))
    async with house(group(slow), keys=key(max_parallel_requests=1)) as router:
        client = await router.connect()
        going = asyncio.create_task(client.ask(CHAT, STREAM, headers="authorization: Bearer sk-small\r\n"))
        await router.until_in_flight(1)
        seen = await ask(router)
        assert (seen.status, seen.headers["retry-after"]) == (429, "1")
        assert "1 requests at once" in seen.error()["message"]
        assert told(seen) == {}
        client.reset()
        await going
        await router.until_in_flight(0)
        again = await router.connect()
        task = asyncio.create_task(again.ask(CHAT, STREAM, headers="authorization: Bearer sk-small\r\n"))
        await router.until_in_flight(1)
        again.reset()
        await task


async def test_of_a_request_that_nobody_was_sent_nothing_is_used_up(house: Open) -> None:
    full = inside("d", max_parallel_requests=1, behaviour=Behaviour(script=("hang",)))
    async with house(group(full), keys=key(rpm=5, tpm=50_000)) as router:
        client = await router.connect()
        going = asyncio.create_task(client.ask(CHAT, HI, headers="authorization: Bearer sk-free\r\n"))
        await router.until_in_flight(1)
        for _ in range(3):
            seen = await ask(router)
            assert (seen.status, remaining(seen)) == (429, 4)
            assert "every deployment is at its limit" in seen.error()["message"]
        client.reset()
        await going


async def test_a_request_that_no_deployment_answered_gets_its_tokens_back(house: Open) -> None:
    broken = inside("d", Behaviour(script=("500",)))
    async with house(group(broken, num_retries=0), keys=key(rpm=5, tpm=5000)) as router:
        assert (await ask(router)).status == 502
        seen = await ask(router, b"{")
        assert (remaining(seen), remaining(seen, "tokens")) == (4, 5000)


async def test_upstreams_limits_are_not_the_keys(house: Open) -> None:
    limited = Behaviour(rate_limit_headers=True)
    async with MockServer(limited) as mock, house(group(remote("d", mock)), keys=key(rpm=60)) as router:
        seen = await ask(router)
        assert seen.headers["x-ratelimit-limit-requests"] == "60"
        assert "x-ratelimit-limit-tokens" not in seen.headers
        assert told(await ask(router, who="free")) == {}


async def test_upstreams_word_keeps_requests_away_until_its_reset(house: Open) -> None:
    spent = Behaviour(script=("429",), retry_after=30.0, rate_limit_headers=True)
    async with house(group(inside("spent", spent), inside("other"), strategy="round-robin")) as router:
        answers = [await router.ask(CHAT, HI) for _ in range(6)]
        assert [seen.status for seen in answers] == [200] * 6
        assert sum(int(seen.headers["x-router-attempts"]) for seen in answers) == 7


async def test_a_full_model_answers_429_with_the_time_until_the_first_deployment_is_free(house: Open) -> None:
    async with house(group(inside("a", rpm=1), inside("b", rpm=2))) as router:
        answers = [await router.ask(CHAT, HI) for _ in range(4)]
        assert [seen.status for seen in answers] == [200, 200, 200, 429]
        assert answers[-1].error()["code"] == "rate_limit_exceeded"
        assert 55 <= int(answers[-1].headers["retry-after"]) <= 60
        assert await router.metric('router_candidates_rejected_total{model="m",reason="rpm"}') >= 2.0


async def test_in_the_queue_the_better_priority_goes_first_and_everybody_is_served(house: Open) -> None:
    slow = inside("d", max_parallel_requests=1, behaviour=Behaviour(time_to_first_token=0.15))
    keys = [FREE, {"name": "batch", "key": "sk-batch", "priority": 5}]
    async with house(group(slow, queue=QueuePolicy(10, timeout=30.0)), keys=keys) as router:
        order: list[str] = []

        async def asks(who: str) -> int:
            seen = await ask(router, who=who)
            order.append(who)
            return seen.status

        tasks = []
        for position, who in enumerate(("free", "batch", "batch", "free")):
            tasks.append(asyncio.create_task(asks(who)))
            await router.until_in_flight(position + 1)
        assert await router.metric('router_queue_waiting{model="m"}') == 3.0
        assert await asyncio.gather(*tasks) == [200] * 4
        assert order == ["free", "free", "batch", "batch"]
        assert await router.metric('router_queue_waiting{model="m"}') == 0.0
        assert await router.metric('router_queue_left_total{model="m",outcome="served"}') == 3.0


async def test_who_hangs_up_in_the_queue_is_gone_at_once(house: Open) -> None:
    slow = inside("d", max_parallel_requests=1, behaviour=Behaviour(script=("hang",)))
    async with house(group(slow, queue=QueuePolicy(10, timeout=30.0))) as router:
        clients = [await router.connect() for _ in range(2)]
        tasks = []
        for position, client in enumerate(clients):
            tasks.append(asyncio.create_task(client.ask(CHAT, HI)))
            await router.until_in_flight(position + 1)
        clients[1].reset()
        await router.until_in_flight(1)
        assert await router.metric('router_queue_left_total{model="m",outcome="client_gone"}') == 1.0
        clients[0].reset()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"), (0.0004, "1ms"), (0.12, "120ms"), (0.9999, "1s"), (1.0, "1s"), (1.5, "1.5s"), (59.9991, "1m0s"),
        (59.999, "59.999s"), (60.0, "1m0s"), (90.25, "1m30.25s"), (360.0, "6m0s"),
    ],
)  # fmt: skip
def test_spans_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert span(seconds) == text
