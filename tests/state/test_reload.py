"""Another catalogue is put in force: what the store keeps, for how long, and what requests under way see of it."""

from __future__ import annotations

from router.core.catalogue import Catalogue
from router.core.errors import FailureKind
from router.core.events import Cooled
from router.core.retry import Health
from router.core.types import Estimate
from router.state.base import SUCCESS, Lease, Outcome
from router.state.memory import REMEMBERED
from tests.core.making import World, deployment, group, tier


def test_an_old_view_still_knows_the_old_groups() -> None:
    world = World(group(tier("a", "b")))
    old, routes = world.group(), world.store.routes
    world.configure(group(tier("c"), name="other"))
    view = world.store.view(routes)
    assert [each.deployment.id for each in view.tiers(old)[0]] == ["a", "b"]
    assert view.tier_of(view.tiers(old)[0][0]) == view.tiers(old)[0]
    assert list(world.store.view().tiers_of) == ["other"]


def test_a_lease_on_a_backend_that_is_dropped_is_settled_as_any_other() -> None:
    world = World(group(tier("a", rpm=10)), group(tier("b"), name="other"))
    lease = world.lease("a")
    world.configure(group(tier("b"), name="other"))
    world.store.settle(lease, SUCCESS)
    assert lease.load.in_flight == 0
    again = world.store.acquire(lease.group, lease.candidate, Estimate(1, 1))
    world.store.settle(again, Outcome(Health.CONNECTION_FAILURE, FailureKind.CONNECT))
    assert lease.load.in_flight == 0


def test_a_backend_that_comes_back_soon_is_as_it_was() -> None:
    world = World(group(tier("a", "b")))
    load = world.load("a")
    load.breaker.consecutive = 2
    world.configure(group(tier("b")))
    world.clock.advance(REMEMBERED - 1.0)
    world.configure(group(tier("b", "c")))
    world.configure(group(tier("a", "b")))
    assert world.load("a") is load


def test_and_one_that_stays_away_is_forgotten() -> None:
    world = World(group(tier("a", "b")))
    load = world.load("a")
    world.configure(group(tier("b")))
    world.clock.advance(REMEMBERED + 1.0)
    world.configure(group(tier("b")))
    world.configure(group(tier("a", "b")))
    assert world.load("a") is not load


def test_but_not_while_it_still_serves_a_request() -> None:
    world = World(group(tier("a", "b")))
    lease = world.lease("a")
    world.configure(group(tier("b")))
    world.clock.advance(10 * REMEMBERED)
    world.configure(group(tier("b")))
    world.configure(group(tier("a", "b")))
    assert world.load("a") is lease.load
    assert world.load("a").in_flight == 1


def test_what_is_prepared_is_in_force_only_once_it_is_adopted() -> None:
    world = World(group(tier("a")))
    routes = world.store.prepare(Catalogue({"gpt": group(tier("a", "b"))}))
    assert [each.deployment.id for each in world.store.candidates()] == ["a"]
    lease = world.lease("a")
    world.store.adopt(routes)
    assert [each.deployment.id for each in world.store.candidates()] == ["a", "b"]
    assert world.load("a").in_flight == 1
    world.store.settle(lease, SUCCESS)
    assert world.in_flight == 0


def test_a_key_is_used_and_judged_by_what_it_is_wherever_it_stands() -> None:
    def keyed(*keys: str) -> World:
        return World(group([deployment("a", api_base="http://one.test", model="up", api_keys=keys)]))

    world = keyed("one", "two")
    refused = _lease_with(world, "two")
    world.configure(*keyed("two", "one").catalogue.groups.values())
    world.store.settle(refused, Outcome(Health.COOL_KEY_LONG, FailureKind.AUTH))
    assert [world.lease("a").key for _ in range(4)] == ["one"] * 4
    assert [event.key for event in world.events if isinstance(event, Cooled)] == [1], "its place when it was sent"


def _lease_with(world: World, key: str) -> Lease:
    leases = [world.lease("a"), world.lease("a")]
    for lease in leases:
        if lease.key != key:
            world.store.settle(lease, SUCCESS)
    return next(lease for lease in leases if lease.key == key)
