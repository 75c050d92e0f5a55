"""Health checks: whom they ask, and what comes of the answers. In virtual time, against upstreams that are a table."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from router.core.breaker import BreakerState
from router.core.catalogue import Catalogue
from router.core.errors import FailureKind, UpstreamFailure
from router.core.events import Cooled, Event, Probed, Recovered
from router.core.filters import Reason, reason_against
from router.core.load import BackendLoad, Candidate
from router.core.retry import Health
from router.core.types import CooldownPolicy, Deployment, Estimate, HealthCheck, ModelGroup, RouteRequest, RoutingPolicy
from router.dialects.base import WireRequest
from router.flow.probes import AGAIN, PATIENCE, Prober
from router.state.base import Outcome
from router.state.memory import MemoryStore
from router.upstream.base import Timing, UpstreamResponse
from tests.virtual_time import virtual_time

CHECK = HealthCheck("/health", 30.0)
POLICY = RoutingPolicy(cooldown=CooldownPolicy(allowed_fails=3, base=5.0, max=300.0))
Answer = int | FailureKind


def deployment(name: str, check: HealthCheck | None = CHECK, **fields: object) -> Deployment:
    made = Deployment(name, "gpt", "openai", name, f"http://{name}.test/v1", (f"key-of-{name}",), health_check=check)
    return replace(made, **fields)  # type: ignore[arg-type]


class HealthPages:
    """What each host answers now: a status, a failure, or nothing at all. `asked` are the moments it was."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.turns: dict[str, list[int]] = {}
        self.asked: dict[str, list[float]] = defaultdict(list)
        self.wires: list[WireRequest] = []
        self.open = 0

    async def send(self, wire: WireRequest, timing: Timing) -> UpstreamResponse:
        loop = asyncio.get_running_loop()
        self.wires.append(wire)
        self.asked[wire.origin.host].append(loop.time())
        turns = self.turns.get(wire.origin.host)
        answer = turns[len(self.wires) % len(turns)] if turns else self.answers.get(wire.origin.host, 200)
        if answer is FailureKind.ATTEMPT_TIMEOUT:
            self.open += 1
            try:
                await asyncio.sleep(timing.deadline - loop.time())
            finally:
                self.open -= 1
        if isinstance(answer, FailureKind):
            raise UpstreamFailure(answer, answer.value)
        return UpstreamResponse(answer, {}, b"", None)

    async def close(self) -> None:
        """Nothing is kept."""


class House:
    def __init__(self, *deployments: Deployment) -> None:
        self.loop = asyncio.get_running_loop()
        self.events: list[Event] = []
        self.pages = HealthPages()
        self.store = MemoryStore(self.loop.time, self.events.append)
        upstreams = {"http": self.pages}
        self.prober = Prober(upstreams, self.store, self.events.append, self.loop.time, Random(3))
        self.configure(*deployments)

    def configure(self, *deployments: Deployment) -> None:
        catalogue = Catalogue({"gpt": ModelGroup("gpt", (deployments,), POLICY)})
        self.store.configure(catalogue)
        self.prober.configure(catalogue)

    def candidate(self, name: str = "a") -> Candidate:
        return next(each for each in self.store.candidates() if each.deployment.id == name)

    def load(self, name: str = "a") -> BackendLoad:
        return self.candidate(name).load

    def state(self, name: str = "a") -> BreakerState:
        return self.load(name).breaker.state(self.loop.time())

    def request_fails(self, kind: FailureKind, health: Health, times: int) -> None:
        for _ in range(times):
            lease = self.store.acquire(self.group, self.candidate(), Estimate(1, 1))
            self.store.settle(lease, Outcome(health, kind))

    @property
    def group(self) -> ModelGroup:
        group = self.store.routes.catalogue.resolve("gpt")
        assert group is not None
        return group

    def told(self, *kinds: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]


@virtual_time
async def test_only_deployments_that_say_so_are_probed() -> None:
    house = House(deployment("a"), deployment("b", None), deployment("c", enabled=False))
    await asyncio.sleep(100.0)
    assert list(house.pages.asked) == ["a.test"]
    await house.prober.close()


@virtual_time
async def test_a_probe_is_a_get_of_its_path_on_the_deployments_host_and_takes_no_secret_along() -> None:
    house = House(deployment("a", headers={"x-account": "secret"}))
    await asyncio.sleep(1.0)
    await house.prober.close()
    (wire,) = house.pages.wires
    assert (wire.origin.host, wire.origin.port, wire.body) == ("a.test", 80, b"")
    lines = wire.head.decode().split("\r\n")
    assert lines[:2] == ["GET /health HTTP/1.1", "host: a.test"]
    assert "key-of-a" not in wire.head.decode()
    assert "secret" not in wire.head.decode()


@virtual_time
async def test_below_the_api_base_the_deployments_headers_go_along_and_never_its_key() -> None:
    check = HealthCheck("/v1/models", 30.0)
    house = House(
        deployment("a", check, headers={"X-Account": "mine"}),
        deployment("b", HealthCheck("/v10/x", 30.0), headers={"x-account": "other"}),
    )
    await asyncio.sleep(1.0)
    await house.prober.close()
    heads = {wire.origin.host: wire.head.decode() for wire in house.pages.wires}
    assert "\r\nx-account: mine\r\n" in heads["a.test"]
    assert "key-of-a" not in heads["a.test"]
    assert "x-account" not in heads["b.test"], "/v10 is not below /v1"


@virtual_time
async def test_probes_come_at_the_interval_spread_by_a_tenth() -> None:
    house = House(deployment("a"), deployment("b"))
    await asyncio.sleep(3000.0)
    await house.prober.close()
    for asked in house.pages.asked.values():
        pauses = [after - before for before, after in pairwise(asked)]
        assert 27.0 - 1e-6 <= min(pauses) < 28.5 < 31.5 < max(pauses) <= 33.0 + 1e-6
    assert house.pages.asked["a.test"][0] != house.pages.asked["b.test"][0]


@pytest.mark.parametrize("answer", [500, 503, 404, 302, FailureKind.CONNECT, FailureKind.ATTEMPT_TIMEOUT])
@virtual_time
async def test_probes_that_fail_in_a_row_open_the_breaker(answer: Answer) -> None:
    house = House(deployment("a"))
    house.pages.answers["a.test"] = answer
    patience = PATIENCE if answer is FailureKind.ATTEMPT_TIMEOUT else 0.0
    await asyncio.sleep(AGAIN + 2 * (AGAIN + patience) + patience - 1e-3)
    assert len(house.pages.asked["a.test"]) >= 2
    await asyncio.sleep(AGAIN + patience)
    assert house.state() is BreakerState.OPEN
    asked = RouteRequest("chat", "gpt", False, Estimate(1, 1), house.loop.time() + 60.0)
    assert reason_against(asked, house.candidate(), house.store.view()) is Reason.UNHEALTHY
    kind = answer if isinstance(answer, FailureKind) else FailureKind.SERVER_ERROR
    (cooled,) = house.told(Cooled)
    assert isinstance(cooled, Cooled)
    assert (cooled.deployment, cooled.reason, cooled.key) == ("a", kind, None)
    assert house.told(Probed)[:3] == [Probed("a", kind.value)] * 3
    await house.prober.close()


@virtual_time
async def test_a_failure_among_good_answers_opens_nothing() -> None:
    house = House(deployment("a"))
    house.pages.turns["a.test"] = [503, 503, 200]
    await asyncio.sleep(600.0)
    assert len(house.pages.asked["a.test"]) > 30
    assert house.told(Cooled) == []
    await house.prober.close()


@virtual_time
async def test_while_probes_fail_no_request_is_sent_to_find_out() -> None:
    house = House(deployment("a"))
    house.pages.answers["a.test"] = FailureKind.CONNECT
    await asyncio.sleep(5.0)
    for _ in range(1000):
        await asyncio.sleep(1.0)
        assert house.state() is BreakerState.OPEN
    assert len(house.told(Cooled)) == 1
    assert len(house.pages.asked["a.test"]) < 45, "at the interval again"
    await house.prober.close()


@virtual_time
async def test_a_good_answer_closes_what_probes_opened_into_slow_start() -> None:
    house = House(deployment("a"))
    house.pages.answers["a.test"] = FailureKind.CONNECT
    await asyncio.sleep(100.0)
    house.pages.answers["a.test"] = 200
    asked = len(house.pages.asked["a.test"])
    for _ in range(70):
        if len(house.pages.asked["a.test"]) == asked:
            assert house.state() is BreakerState.OPEN
            await asyncio.sleep(0.5)
    assert house.state() is BreakerState.CLOSED
    assert house.told(Recovered) == [Recovered("a")]
    assert house.load().standing.share(house.loop.time()) < 0.2
    await asyncio.sleep(10.0)
    assert house.load().standing.share(house.loop.time()) == 1.0
    await house.prober.close()


@virtual_time
async def test_a_good_answer_ends_the_rest_after_refused_connections_before_its_time() -> None:
    house = House(deployment("a"))
    await asyncio.sleep(35.0)
    house.request_fails(FailureKind.CONNECT, Health.CONNECTION_FAILURE, 3)
    house.load().breaker.openings = 6
    assert house.state() is BreakerState.OPEN
    await asyncio.sleep(33.0)
    assert house.state() is BreakerState.CLOSED
    await house.prober.close()


@pytest.mark.parametrize(
    ("kind", "health", "times"),
    [(FailureKind.ATTEMPT_TIMEOUT, Health.CONNECTION_FAILURE, 3), (FailureKind.SERVER_ERROR, Health.FAILURE, 10),
     (FailureKind.NOT_FOUND, Health.COOL_DEPLOYMENT_LONG, 1)],
)  # fmt: skip
@virtual_time
async def test_one_that_fails_its_requests_with_a_healthy_page_must_prove_itself_by_a_request(
    kind: FailureKind, health: Health, times: int
) -> None:
    house = House(deployment("a"), deployment("b", None))
    house.request_fails(kind, health, times)
    assert house.state() is BreakerState.OPEN
    await asyncio.sleep(400.0)
    assert house.state() is BreakerState.HALF_OPEN
    assert house.told(Recovered) == []
    await house.prober.close()


@virtual_time
async def test_a_backend_under_two_names_is_probed_once() -> None:
    one = deployment("a")
    house = House(one, replace(one, id="again"))
    await asyncio.sleep(20.0)
    assert len(house.pages.asked["a.test"]) == 1
    await house.prober.close()


@virtual_time
async def test_a_reload_begins_ends_and_keeps_probes() -> None:
    house = House(deployment("a"), deployment("b"))
    await asyncio.sleep(10.0)
    house.configure(deployment("a", weight=2.0), deployment("c"))
    await asyncio.sleep(10.0)
    counts = {host: len(moments) for host, moments in house.pages.asked.items()}
    assert counts == {"a.test": 1, "b.test": 1, "c.test": 1}, "a's own time goes on"
    house.configure(deployment("a", HealthCheck("/health", 2.0)))
    await asyncio.sleep(10.0)
    assert len(house.pages.asked["a.test"]) >= 5
    assert len(house.pages.asked["c.test"]) == 1
    await house.prober.close()


@virtual_time
async def test_probes_end_with_the_app_whatever_they_are_waiting_for() -> None:
    house = House(deployment("a"), deployment("b"))
    house.pages.answers["a.test"] = FailureKind.ATTEMPT_TIMEOUT
    await asyncio.sleep(2.0)
    assert house.pages.open == 1
    await house.prober.close()
    asked = len(house.pages.wires)
    await asyncio.sleep(1000.0)
    assert (house.pages.open, len(house.pages.wires)) == (0, asked)
