"""A decision among many: as right as among few, and not dearer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import comb
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.choice import choose, weigh
from router.core.filters import FILTERS, Reason, context_window, fit_among, reason_against
from router.core.load import Candidate, Snapshot
from router.core.strategies import STRATEGIES
from router.core.strategies.base import LOOKS
from router.core.tier import LARGE, Tier, shuffled, two_of
from router.core.types import Prices, RouteRequest, Tags
from tests.core.making import POLICY, START, World, candidate, deployment, group, request

EACH = pytest.mark.parametrize("name", sorted(STRATEGIES))
ASKED = request(stream=True, affinity="key".__str__)


def many(count: int) -> list[Candidate]:
    return [candidate(f"d{index}", prices=Prices(1.0 + index % 3, 2.0)) for index in range(count)]


def rest(places: list[Candidate]) -> None:
    for place in places:
        place.load.breaker.cool(START, START + 60.0, POLICY)


def view_of(*tiers: list[Candidate]) -> Snapshot:
    return Snapshot(START, {"gpt": [Tier(each) for each in tiers]}, {})


class Looks:
    """A filter that counts how often a candidate is looked at."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, request: RouteRequest, place: Candidate, view: Snapshot) -> Reason | None:
        self.count += 1
        return None


@EACH
def test_a_large_group_is_not_scanned(name: str) -> None:
    view = view_of(many(2000))
    looks, rng = Looks(), Random(1)
    for _ in range(100):
        assert choose(ASKED, group(strategy=name), view, rng, filters=(looks,)).candidate is not None
    assert looks.count <= 100 * 8


@EACH
def test_a_group_of_sixteen_is_looked_at_once_each(name: str) -> None:
    view = view_of(many(LARGE))
    looks = Looks()
    choose(ASKED, group(strategy=name), view, Random(1), filters=(looks,))
    assert looks.count == LARGE


@EACH
def test_a_choice_among_many_never_fails_for_bad_luck(name: str) -> None:
    places = many(500)
    rest(places[:250] + places[251:])
    for seed in range(20):
        chosen, rejections = choose(ASKED, group(strategy=name), view_of(places), Random(seed))
        assert chosen is places[250]
        assert {each.reason for each in rejections} == {Reason.UNHEALTHY}


@EACH
@pytest.mark.parametrize("size", [3, 50])
def test_nobody_unfit_is_ever_chosen(name: str, size: int) -> None:
    places = many(size)
    unfit = Random(2).sample(places, size // 2)
    rest(unfit)
    for seed in range(200):
        assert choose(ASKED, group(strategy=name), view_of(places), Random(seed)).candidate not in unfit


@EACH
def test_what_was_tried_is_not_tried_again_while_another_is_left(name: str) -> None:
    places = many(40)
    tried: set[str] = set()
    for _ in places:
        chosen = choose(ASKED, group(strategy=name), view_of(places), Random(1), tried).candidate
        assert chosen is not None
        assert chosen.deployment.backend not in tried
        tried.add(chosen.deployment.backend)
    none, rejections = choose(ASKED, group(strategy=name), view_of(places), Random(1), tried)
    assert none is None
    assert Counter(each.reason for each in rejections) == {Reason.ALREADY_TRIED: 40}


@EACH
def test_with_a_large_tier_resting_the_next_one_serves(name: str) -> None:
    upper, lower = many(30), [candidate("spare", priority=1)]
    rest(upper)
    chosen, rejections = choose(ASKED, group(strategy=name), view_of(upper, lower), Random(1))
    assert chosen is lower[0]
    assert len(rejections) == 30, "each named once, however often it was drawn"


def test_a_filter_left_out_is_left_out_among_many_too() -> None:
    places = [candidate(f"d{index}", context_window=1) for index in range(40)]
    asked = request(tokens=100)
    assert choose(asked, group(), view_of(places), Random(1)).candidate is None
    others = tuple(each for each in FILTERS if each is not context_window)
    assert choose(asked, group(), view_of(places), Random(1), (), others).candidate is not None


def test_weighing_looks_at_everyone() -> None:
    places = many(100)
    rest(places[:40])
    weighed, rejections = weigh(ASKED, group(strategy="least-busy"), view_of(places))
    assert [each.candidate for each in weighed] == places[40:]
    assert [each.candidate for each in rejections] == places[:40]
    assert [each.probability for each in weighed] == pytest.approx([1 / 60] * 60)


class Counted(list[Candidate]):
    """Counts how often it is gone through."""

    passes = 0

    def __iter__(self) -> Iterator[Candidate]:
        self.passes += 1
        return super().__iter__()


@EACH
def test_weighing_two_thousand_does_not_go_through_all_pairs(name: str) -> None:
    places = Counted(many(2000))
    weighed = STRATEGIES[name].weigh(ASKED, places, view_of(places))
    assert sum(each.probability for each in weighed) == pytest.approx(1.0)
    assert places.passes <= 20


def test_a_shuffle_begun_is_a_fair_one() -> None:
    rng, places = Random(1), many(5)
    assert {id(each) for each in shuffled(places, rng, 5)} == {id(each) for each in places}
    assert len(list(shuffled(places, rng, 3))) == 3
    pairs = Counter(tuple(each.deployment.id for each in shuffled(places, rng, 2)) for _ in range(20_000))
    assert len(pairs) == 20
    assert max(pairs.values()) < 1200


def test_two_of_many_are_any_two_alike() -> None:
    rng = Random(1)
    places = many(6)
    pairs = Counter(frozenset(each.deployment.id for each in two_of(places, rng)) for _ in range(15_000))
    assert len(pairs) == comb(6, 2)
    assert max(pairs.values()) < 1150
    assert two_of(places[:2], rng) == places[:2]
    assert LOOKS > 2


DEPLOYMENTS = st.fixed_dictionaries(
    {
        "enabled": st.booleans(),
        "mode": st.sampled_from([None, "chat", "embedding"]),
        "context_window": st.sampled_from([None, 5, 100]),
        "tags": st.frozensets(st.sampled_from("ab")),
        "rpm": st.sampled_from([None, 1]),
    }
)
TAGS = st.none() | st.builds(Tags, st.frozensets(st.sampled_from("ab")), st.frozensets(st.sampled_from("ab")))


@given(
    st.lists(st.tuples(DEPLOYMENTS, st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=4),
    TAGS,
    st.sampled_from([1, 50]),
)
@settings(max_examples=300)
def test_the_quick_answer_is_that_of_all_filters(
    drawn: list[tuple[dict[str, Any], bool, bool, bool]], tags: Tags | None, tokens: int
) -> None:
    world = World(group([deployment(f"d{place}", **fields) for place, (fields, *_) in enumerate(drawn)]))
    for place, (_, opened, limited, used) in enumerate(drawn):
        name = f"d{place}"
        if used:
            world.lease(name)
        if opened:
            world.load(name).breaker.cool(START, START + 5.0, POLICY)
        if limited:
            world.load(name).keys[0].until = START + 5.0
    asked = request(tokens=tokens, tags=tags)
    view = world.store.view()
    places = view.tiers(world.group())[0]
    assert fit_among(asked, places, view) == [each for each in places if reason_against(asked, each, view) is None]
