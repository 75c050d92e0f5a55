"""LiteLLM's mistakes in routing, as PEERS.md lists them, each as a test of the right behaviour.

Those that belong elsewhere: a dead pod's in-flight count and the overwriting of others' data (the exchange with
siblings), limits that are off by one or mean concurrency (`test_limits`).
"""

from __future__ import annotations

import inspect
from collections import Counter
from random import Random

import pytest

from router.core.choice import choose, weigh
from router.core.errors import FailureKind
from router.core.filters import Reason, disabled
from router.core.load import Candidate, Snapshot
from router.core.plan import plan
from router.core.retry import Health
from router.core.strategies import STRATEGIES
from router.core.types import Prices, RouteRequest, Usage
from router.state.base import CLIENT_GONE, SUCCESS, Outcome, Served
from router.state.memory import MemoryStore
from tests.core.making import HOUR, World, candidate, deployment, group, request, snapshot, tier
from tests.core.strategies.shares import picks

EACH = pytest.mark.parametrize("name", sorted(STRATEGIES))


@EACH
def test_ties_do_not_all_go_to_the_first_listed(name: str) -> None:
    shares = picks(name, [candidate("first"), candidate("second"), candidate("third")], 3000)
    assert all(shares[each] == pytest.approx(1000, rel=0.15) for each in ("first", "second", "third"))


@pytest.mark.parametrize(
    "outcome",
    [SUCCESS, CLIENT_GONE, Outcome(Health.CONNECTION_FAILURE, FailureKind.CONNECT), Outcome(Health.COOL_KEY),
     Outcome(Health.COOL_DEPLOYMENT_LONG, FailureKind.NOT_FOUND), Outcome(Health.FAILURE, counts=False)],
)  # fmt: skip
def test_no_in_flight_count_is_stuck_however_an_attempt_ends(outcome: Outcome) -> None:
    world = World(group(tier("a", "b")))
    leases = [world.lease("a") for _ in range(5)]
    for lease in leases:
        world.store.settle(lease, outcome)
    assert world.load("a").in_flight == world.load("a").outstanding == 0


def test_a_live_in_flight_count_is_not_reset_by_the_hour() -> None:
    world = World(group(tier("a", "b")))
    lease = world.lease("a")
    world.clock.advance(3 * HOUR)
    world.store.view()
    assert world.load("a").in_flight == 1
    world.store.settle(lease, SUCCESS)
    assert world.load("a").in_flight == 0


def test_nothing_is_given_back_that_was_never_taken() -> None:
    world = World(group(tier("a")))
    lease = world.lease("a")
    world.store.settle(lease, SUCCESS)
    with pytest.raises(RuntimeError, match="settled already"):
        world.store.settle(lease, SUCCESS)
    assert world.load("a").in_flight == world.load("a").outstanding == 0


def test_one_backend_under_two_names_is_one_load() -> None:
    shared = {"api_base": "http://up.test/v1", "model": "m"}
    other = World(
        group([deployment("a", **shared), deployment("b")], strategy="least-busy"),
        group([deployment("x", group="alias", **shared)], name="alias"),
    )
    other.lease("x", "alias")
    view = other.store.view()
    assert other.load("a").in_flight == 1
    rng = Random(1)
    assert {choose(request(), other.group(), view, rng).candidate for _ in range(20)} == {other.candidate("b")}


def test_no_part_of_a_decision_waits_for_anything() -> None:
    for step in (MemoryStore.view, MemoryStore.acquire, MemoryStore.settle, choose, weigh, plan):
        assert not inspect.iscoroutinefunction(step)


def test_seconds_and_seconds_per_token_are_never_mixed() -> None:
    world = World(group(tier("streams", "wholes"), strategy="latency-based"))
    for _ in range(3):
        world.store.settle(world.streamed("streams", 0.5), Outcome(served=Served(20.0, 0.5, Usage(10, 1000))))
        world.store.settle(world.lease("wholes"), Outcome(served=Served(20.0, None, Usage(10, 1000))))
    now = world.clock.now
    assert world.load("streams").latency.expected(now, True, 10, 0.0) == pytest.approx(0.5)
    assert world.load("streams").latency.expected(now, False, 10, 1000.0) is None
    assert world.load("wholes").latency.expected(now, False, 10, 1000.0) == pytest.approx(20.0)
    assert world.load("wholes").latency.expected(now, True, 10, 0.0) is None


@pytest.mark.parametrize("name", ["latency-based", "adaptive"])
def test_a_deployment_that_timed_out_once_is_retried_later(name: str) -> None:
    world = World(group(tier("a", "b"), strategy=name))
    for each in ("a", "b"):
        world.store.settle(world.streamed(each, 0.5), Outcome(served=Served(2.0, 0.5, Usage(10, 100))))
    late = world.lease("a", stream=True)
    world.clock.advance(60.0)
    world.store.settle(late, Outcome(Health.FAILURE, FailureKind.FIRST_TOKEN_TIMEOUT))

    def shares(count: int = 50) -> Counter[str]:
        chosen = [choose(request(stream=True), world.group(), world.store.view(), world.rng) for _ in range(count)]
        return Counter(each.candidate.deployment.id for each in chosen if each.candidate)

    assert shares() == {"b": 50}
    for _ in range(100):
        world.store.settle(world.streamed("b", 1.0), Outcome(served=Served(2.0, 1.0, Usage(10, 100))))
    assert shares()["a"] > 0


@pytest.mark.parametrize("free", [Prices(0.0, 0.0), Prices(0.0, 0.0, 0.0)])
def test_a_price_of_zero_is_a_price(free: Prices) -> None:
    places = [candidate("cheap", prices=Prices(1e-9, 1e-9)), candidate("free", prices=free), candidate("unknown")]
    assert picks("cost-based", places, 50) == {"free": 50}


def test_cost_counts_the_length_of_the_output() -> None:
    world = World(
        group([deployment("talk is dear", prices=Prices(1e-6, 9e-6)), deployment("b", prices=Prices(2e-6, 2e-6))],
              strategy="cost-based")
    )  # fmt: skip
    asked = request(tokens=1000)

    def pick() -> str:
        chosen = choose(asked, world.group(), world.store.view(), world.rng).candidate
        assert chosen is not None
        return chosen.deployment.id

    for output, winner in ((10, "talk is dear"), (1000, "b")):
        for _ in range(300):
            world.store.settle(world.lease("b"), Outcome(served=Served(1.0, None, Usage(1000, output))))
        assert pick() == winner


def test_cost_counts_the_prompts_that_upstream_has_in_its_cache() -> None:
    caching = deployment("caching", prices=Prices(2e-6, 1e-6, 2e-7))
    world = World(group([caching, deployment("plain", prices=Prices(1.5e-6, 1e-6))], strategy="cost-based"))
    asked = request(tokens=1000)
    for cached, winner in ((0, "plain"), (800, "caching")):
        for _ in range(300):
            world.store.settle(world.lease("caching"), Outcome(served=Served(1.0, None, Usage(1000, 10, cached))))
        chosen = choose(asked, world.group(), world.store.view(), world.rng).candidate
        assert chosen is world.candidate(winner)


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_a_filter_pass_looks_at_each_candidate_a_fixed_number_of_times(size: int) -> None:
    looks = Counter[str]()

    def counting(asked: RouteRequest, place: Candidate, view: Snapshot) -> Reason | None:
        looks[place.deployment.id] += 1
        return disabled(asked, place, view)

    places = [candidate(f"d{index}", enabled=index % 2 == 0) for index in range(size)]
    found = plan(request(), group(), snapshot([places]), (), (counting,))
    assert (len(found.candidates), len(found.rejections)) == (size // 2, size // 2)
    assert set(looks.values()) == {1}
