"""Routes: a catalogue bound to the load of its backends, and what the next routes take over from them."""

from __future__ import annotations

from router.core.catalogue import Catalogue
from router.core.keys import KeyHealth
from router.core.quota import Quota
from router.core.routes import NO_ROUTES, Routes, bind
from router.core.types import Deployment
from tests.core.making import deployment, group

PLACE = {"api_base": "http://one.test/v1", "model": "up"}


def routes(*deployments: Deployment, after: Routes = NO_ROUTES) -> Routes:
    return bind(Catalogue({"gpt": group(deployments)}), after, after.loads)


def keyed(*keys: str, **fields: str) -> Deployment:
    return deployment("a", **(PLACE | fields), api_keys=keys)


def health(bound: Routes, key: str) -> KeyHealth:
    ((candidate,),) = bound.tiers["gpt"]
    return candidate.load.keys[candidate.load.api_keys.index(key)]


def test_a_backend_that_stays_keeps_its_load() -> None:
    before = routes(deployment("a"), deployment("b"))
    after = routes(deployment("b", weight=3.0), deployment("c"), after=before)
    b, c = after.tiers["gpt"][0]
    assert b.load is before.tiers["gpt"][0][1].load
    assert b.deployment.weight == 3.0
    assert c.load not in before.loads.values()


def test_one_backend_under_two_names_is_one_load() -> None:
    a, b = routes(keyed("k"), deployment("b", **PLACE, api_keys=("k",))).tiers["gpt"][0]
    assert a.load is b.load


def test_a_key_keeps_its_health_where_the_list_is_in_another_order() -> None:
    before = routes(keyed("one", "two"))
    health(before, "two").until = 7.0
    after = routes(keyed("two", "one"), after=before)
    assert (health(after, "one").until, health(after, "two").until) == (0.0, 7.0)


def test_every_process_means_the_same_key_by_a_position() -> None:
    for keys in (("b", "a", "c"), ("c", "b", "a")):
        ((candidate,),) = routes(keyed(*keys)).tiers["gpt"]
        assert candidate.load.api_keys == ("a", "b", "c")


def test_a_key_keeps_its_health_where_another_comes_or_goes() -> None:
    before = routes(keyed("one", "two"))
    health(before, "two").until = 7.0
    health(before, "two").quota = Quota()
    after = routes(keyed("two", "three"), after=before)
    assert (health(after, "two").until, health(after, "three").until) == (7.0, 0.0)
    ((candidate,),) = after.tiers["gpt"]
    assert candidate.load is not before.tiers["gpt"][0][0].load
    assert candidate.load.heard


def test_the_same_key_elsewhere_is_another_matter() -> None:
    before = routes(keyed("one", "two"))
    health(before, "one").until = 7.0
    for elsewhere in ({"api_base": "http://two.test/v1"}, {"model": "other"}, {"provider": "azure"}):
        assert health(routes(keyed("one", **elsewhere), after=before), "one").until == 0.0


def test_nothing_in_use_is_changed() -> None:
    before = routes(keyed("one", "two"))
    loads, tiers = dict(before.loads), before.tiers["gpt"]
    routes(keyed("two", "three"), after=before)
    assert (before.loads, before.tiers["gpt"]) == (loads, tiers)
    assert before.tiers["gpt"][0][0].load.api_keys == ("one", "two")
