"""Whole scenarios in virtual time, against the mock provider that is shipped: what an operator would see."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from random import Random

import orjson
import pytest

from router.core.catalogue import Catalogue
from router.core.errors import FailureKind, RouterError
from router.core.events import Attempted, Cooled, Event, FellBack, Finished, Recovered, RetryDenied
from router.core.failover import FallbackKind
from router.core.types import (
    CooldownPolicy,
    Deployment,
    ErrorPatterns,
    Estimate,
    ModelGroup,
    RetryBudgetPolicy,
    RouteRequest,
    RoutingPolicy,
)
from router.dialects.base import InferenceRequest
from router.dialects.mock.behaviour import Behaviour
from router.dialects.mock.dialect import MockDialect
from router.flow.runner import Runner
from router.state.memory import MemoryStore
from router.upstream.inprocess import MockUpstream
from tests.flow.recording import RecordingExchange
from tests.virtual_time import virtual_time

SERVES = Behaviour(time_to_first_token=0.5, tokens_per_second=10, reply="a b c d e f")


@dataclass
class Answer:
    """One request's end. `seconds`: how long it took."""

    exchange: RecordingExchange
    record: Finished
    error: RouterError | None
    seconds: float


class Router:
    """The flow over a memory store and the in-process mock, with every group as it is given."""

    def __init__(self, *groups: ModelGroup, seed: int = 1) -> None:
        self._loop = asyncio.get_running_loop()
        catalogue = Catalogue({group.name: group for group in groups})
        self.events: list[Event] = []
        self.mock = MockUpstream(seed=seed)
        self.store = MemoryStore(self._loop.time, self.events.append)
        self.store.configure(catalogue)
        self._runner = Runner(
            {"mock": MockDialect()},
            {"mock": self.mock},
            self.store,
            self.events.append,
            self._loop.time,
            Random(seed),
            15.0,
        )

    async def ask(self, model: str = "gpt", *, stream: bool = False, timeout: float = 60.0) -> Answer:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        request = InferenceRequest("chat", "req-1", orjson.dumps(body), body, stream)
        began = self._loop.time()
        route = RouteRequest("chat", model, stream, Estimate(10, 10), began + timeout, hurried=timeout < 60.0)
        exchange, record, error = RecordingExchange(), Finished("req-1", "chat"), None
        group = self._runner.catalogue.resolve(model)
        assert group is not None
        try:
            await self._runner.run(request, route, group, exchange, record)
        except RouterError as caught:
            error = caught
        return Answer(exchange, record, error, self._loop.time() - began)

    async def ask_many(self, count: int, *, stream: bool) -> list[Answer]:
        return list(await asyncio.gather(*(self.ask(stream=stream) for _ in range(count))))

    def sent_to(self) -> Counter[str]:
        """Attempts so far, by deployment."""
        return Counter(event.deployment for event in self.events if isinstance(event, Attempted))

    def told(self, *kinds: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def in_flight(self) -> int:
        return self.mock.in_flight + sum(candidate.load.in_flight for candidate in self.store.candidates())


def group(name: str, policy: RoutingPolicy | None = None, **behaviours: Behaviour) -> ModelGroup:
    """A group of mock deployments, by id."""
    deployments = tuple(Deployment(id, name, "mock", f"mock-{id}", options=does) for id, does in behaviours.items())
    return ModelGroup(name, (deployments,), policy or RoutingPolicy())


def fails(*steps: str, retry_after: float | None = None) -> Behaviour:
    return replace(SERVES, script=steps, retry_after=retry_after)


@pytest.mark.parametrize("stream", [False, True])
@virtual_time
async def test_one_of_three_that_always_fails_costs_its_clients_a_second_attempt_and_nothing_else(stream: bool) -> None:
    router = Router(group("gpt", a=fails("503"), b=SERVES, c=SERVES))
    answers = [await router.ask(stream=stream) for _ in range(60)]
    assert [answer.error for answer in answers] == [None] * 60
    assert {answer.record.outcome for answer in answers} == {"ok"}
    failed = router.sent_to()["a"]
    assert failed >= 5
    assert Counter(answer.record.attempts for answer in answers) == {1: 60 - failed, 2: failed}
    assert "a" not in {answer.record.deployment for answer in answers}
    assert router.in_flight == 0


@pytest.mark.parametrize(
    ("step", "status", "code", "word"),
    [
        ("503", 502, "upstream_error", "503"),
        ("reset", 502, "upstream_unreachable", "the connection closed before the reply was complete"),
        ("garbage", 502, "upstream_unreachable", "the reply is no HTTP"),
        ("401", 502, "upstream_auth_error", "401"),
        ("429-quota", 502, "upstream_error", "429"),
        ("hang", 504, "timeout", "no complete reply before the attempt's deadline"),
    ],
)
@virtual_time
async def test_with_all_of_them_down_the_answer_names_every_attempt(
    step: str, status: int, code: str, word: str
) -> None:
    policy = RoutingPolicy(num_retries=2, attempt_timeout=10.0)
    answer = await Router(group("gpt", policy, a=fails(step), b=fails(step), c=fails(step))).ask()
    assert answer.error is not None
    assert (answer.error.status, answer.error.code, answer.error.should_retry) == (status, code, False)
    start, _, attempts = answer.error.message.partition("attempts: ")
    assert start == "gpt: 3 "
    assert sorted(attempts.split(", ")) == [f"{id} {word}" for id in "abc"]
    assert answer.exchange.transcript == ""


@virtual_time
async def test_in_a_lasting_outage_clients_are_turned_away_at_once_and_told_when_to_come_back() -> None:
    policy = RoutingPolicy(num_retries=0, cooldown=CooldownPolicy(allowed_fails=2, base=30.0))
    router = Router(group("gpt", policy, a=fails("reset"), b=fails("reset")))
    for _ in range(4):
        await router.ask()
    answer = await router.ask()
    assert sum(router.sent_to().values()) == 4
    assert answer.error is not None
    assert (answer.error.status, answer.error.code, answer.seconds) == (503, "no_deployment_available", 0.0)
    assert answer.error.retry_after == pytest.approx(30.0)
    assert answer.record.attempts == 0


@pytest.mark.parametrize("stream", [False, True])
@virtual_time
async def test_a_single_deployment_that_says_when_to_come_back_is_waited_for(stream: bool) -> None:
    router = Router(group("gpt", a=fails("429", "ok", retry_after=7.0)))
    answer = await router.ask(stream=stream)
    assert answer.error is None
    assert (answer.record.outcome, answer.record.attempts) == ("ok", 2)
    assert 7.0 + 1.0 <= answer.seconds <= 7.0 + 0.2 + 1.0  # retry-after, jitter, the reply itself
    assert router.told(Cooled) == [Cooled("a", FailureKind.RATE_LIMITED, 7.0, 0, 0)]


@virtual_time
async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    answer = await Router(group("gpt", a=fails("429", retry_after=7.0))).ask(timeout=5.0)
    assert answer.error is not None
    assert (answer.error.status, answer.error.code) == (429, "rate_limit_exceeded")
    assert (answer.error.retry_after, answer.seconds) == (7.0, 0.0)


@pytest.mark.parametrize("stream", [False, True])
@virtual_time
async def test_another_group_takes_over_when_one_is_exhausted(stream: bool) -> None:
    falls_back = RoutingPolicy(num_retries=1, fallbacks=("claude", "gpt"))
    router = Router(
        group("gpt", falls_back, a=fails("500"), b=fails("reset")),
        group("claude", RoutingPolicy(fallbacks=("gpt",)), c=SERVES),
    )
    answer = await router.ask(stream=stream)
    assert answer.error is None
    assert (answer.record.served_by, answer.record.deployment, answer.record.attempts) == ("claude", "c", 3)
    assert [(event.group, event.to, event.kind) for event in router.events if isinstance(event, FellBack)] == [
        ("gpt", "claude", "general")
    ]


@virtual_time
async def test_groups_that_fall_back_on_each_other_are_visited_once_each() -> None:
    one, other = RoutingPolicy(num_retries=0, fallbacks=("claude",)), RoutingPolicy(num_retries=0, fallbacks=("gpt",))
    router = Router(group("gpt", one, a=fails("500")), group("claude", other, b=fails("500")))
    answer = await router.ask()
    assert answer.error is not None
    assert answer.error.message == "gpt: 2 attempts: a 500, b 500"


@virtual_time
async def test_an_outage_of_a_whole_group_is_not_multiplied_by_retries() -> None:
    never = CooldownPolicy(allowed_fails=9999, min_requests=9999)
    policy = RoutingPolicy(num_retries=3, retry_budget=RetryBudgetPolicy(0.2, 0.0), cooldown=never)
    flaky = replace(SERVES, script=("503",) * 99 + ("ok",))
    router = Router(group("gpt", policy, a=flaky, b=flaky, c=flaky))
    answers = await router.ask_many(200, stream=False)
    assert sum(answer.error is None for answer in answers) <= 5
    assert 200 < sum(router.sent_to().values()) <= 240
    denied = router.told(RetryDenied)
    assert len(denied) >= 190
    assert set(denied) == {RetryDenied("gpt")}


@virtual_time
async def test_with_the_budget_spent_a_request_goes_on_to_the_fallback() -> None:
    policy = RoutingPolicy(num_retries=3, retry_budget=RetryBudgetPolicy(0.0, 0.0), fallbacks=("claude",))
    router = Router(group("gpt", policy, a=fails("503"), b=fails("503")), group("claude", c=SERVES))
    answer = await router.ask()
    assert answer.error is None
    assert (answer.record.served_by, answer.record.attempts) == ("claude", 2)
    assert router.told(RetryDenied, FellBack) == [RetryDenied("gpt"), FellBack("gpt", "claude", FallbackKind.GENERAL)]


@virtual_time
async def test_an_error_text_from_the_configuration_takes_the_fallback_it_is_listed_for() -> None:
    patterns = ErrorPatterns(context_window=("bad request (mock)",))
    policy = RoutingPolicy(context_window_fallbacks=("large",), error_patterns=patterns)
    told = Router(group("gpt", policy, a=fails("400")), group("large", c=SERVES))
    answer = await told.ask()
    assert (answer.error, answer.record.served_by) == (None, "large")
    without = Router(group("gpt", replace(policy, error_patterns=None), a=fails("400")), group("large", c=SERVES))
    refused = (await without.ask()).error
    assert refused is not None
    assert refused.status == 400


@pytest.mark.parametrize(
    ("step", "listed"), [("400-context", "context_window_fallbacks"), ("400-policy", "content_policy_fallbacks")]
)
@virtual_time
async def test_what_a_model_cannot_take_goes_to_the_group_listed_for_that(step: str, listed: str) -> None:
    policy = RoutingPolicy(
        fallbacks=("other",),
        context_window_fallbacks=("large",) if listed == "context_window_fallbacks" else (),
        content_policy_fallbacks=("large",) if listed == "content_policy_fallbacks" else (),
    )
    router = Router(group("gpt", policy, a=fails(step), b=SERVES), group("large", c=SERVES), group("other", d=SERVES))
    answers = [await router.ask() for _ in range(20)]
    assert {answer.record.served_by for answer in answers} == {"gpt", "large"}
    assert router.told(Cooled) == []


@virtual_time
async def test_a_breaker_opens_leaves_its_deployment_alone_and_closes_after_a_trial_that_succeeds() -> None:
    policy = RoutingPolicy(cooldown=CooldownPolicy(allowed_fails=3, base=5.0))
    router = Router(group("gpt", policy, a=fails("reset", "reset", "reset", "ok"), b=SERVES))
    while not router.told(Cooled):
        assert (await router.ask()).error is None
    assert router.sent_to()["a"] == 3
    opened = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < opened + 4.0:
        assert (await router.ask()).record.deployment == "b"
    assert router.sent_to()["a"] == 3
    await asyncio.sleep(2.0)
    while not router.told(Recovered):
        assert (await router.ask()).error is None
    assert router.sent_to()["a"] == 4
    await asyncio.sleep(10.0)  # its share grows back to the full one
    assert {(await router.ask()).record.deployment for _ in range(20)} == {"a", "b"}


@virtual_time
async def test_a_half_open_breaker_lets_one_trial_through_however_many_are_waiting() -> None:
    policy = RoutingPolicy(num_retries=0, cooldown=CooldownPolicy(allowed_fails=1, base=5.0))
    router = Router(group("gpt", policy, a=fails("reset", *["ok"] * 100)))
    assert (await router.ask()).error is not None
    await asyncio.sleep(6.0)
    answers = await router.ask_many(10, stream=False)
    assert sorted(answer.error.status if answer.error else 200 for answer in answers) == [200] + [503] * 9
    assert [answer.error for answer in await router.ask_many(10, stream=False)] == [None] * 10


@virtual_time
async def test_a_trial_that_fails_doubles_the_rest() -> None:
    policy = RoutingPolicy(num_retries=0, cooldown=CooldownPolicy(allowed_fails=1, base=5.0))
    router = Router(group("gpt", policy, a=fails("reset")))
    for _ in range(3):
        await router.ask()
        await asyncio.sleep(21.0)
    assert [event.seconds for event in router.events if isinstance(event, Cooled)] == [5.0, 10.0, 20.0]


@pytest.mark.parametrize("strategy", ["least-busy", "round-robin", "weighted"])
@pytest.mark.parametrize("stream", [False, True])
@virtual_time
async def test_of_200_at_once_none_fails_though_one_deployment_resets_every_connection(
    stream: bool, strategy: str
) -> None:
    router = Router(group("gpt", RoutingPolicy(strategy=strategy), a=fails("reset"), b=SERVES, c=SERVES))
    answers = await router.ask_many(200, stream=stream)
    assert [answer.error for answer in answers] == [None] * 200
    assert {answer.record.outcome for answer in answers} == {"ok"}
    assert {answer.record.deployment for answer in answers} == {"b", "c"}
    assert max(answer.record.attempts for answer in answers) == 2
    assert router.in_flight == 0


@virtual_time
async def test_clients_who_leave_in_the_middle_leave_nothing_behind() -> None:
    router = Router(group("gpt", a=SERVES, b=fails("hang"), c=fails("stall")))
    tasks = [asyncio.create_task(router.ask(stream=bool(n % 2))) for n in range(60)]
    await asyncio.sleep(0.75)
    assert router.mock.in_flight == 60
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert router.in_flight == 0
    assert {event.outcome for event in router.events if isinstance(event, Attempted)} == {"client_gone"}
