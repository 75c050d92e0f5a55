from __future__ import annotations

from router.core.load import BackendLoad
from tests.core.making import POLICY, START, candidate, group, snapshot


def test_keys_take_turns() -> None:
    load = BackendLoad(3)
    order = []
    for _ in range(6):
        index = load.usable_key(START)
        assert index is not None
        order.append(index)
        load.next_key = (index + 1) % 3
    assert order == [0, 1, 2, 0, 1, 2]


def test_a_resting_key_is_skipped_until_its_rest_is_over() -> None:
    load = BackendLoad(3)
    load.next_key = 1
    load.keys[1].until = START + 5.0
    assert load.usable_key(START) == 2
    assert load.usable_key(START + 4.9) == 2
    assert load.usable_key(START + 5.0) == 1


def test_with_every_key_at_rest_there_is_none() -> None:
    load = BackendLoad(2)
    for key in load.keys:
        key.until = START + 5.0
    assert load.usable_key(START) is None


def test_a_backend_frees_when_its_first_key_and_its_breaker_do() -> None:
    place = candidate("a", keys=2)
    assert place.frees_at(START) == START
    place.load.keys[0].until = START + 30.0
    assert place.frees_at(START) == START, "the other key is free"
    place.load.keys[1].until = START + 10.0
    assert place.frees_at(START) == START + 10.0
    place.load.breaker.cool(START, START + 20.0, POLICY)
    assert place.frees_at(START) == START + 20.0
    assert place.frees_at(START + 100.0) == START + 100.0, "never in the past"


def test_a_backend_is_rate_limited_unless_every_key_was_refused() -> None:
    load = BackendLoad(2)
    assert load.rate_limited
    load.keys[0].refused = True
    assert load.rate_limited
    load.keys[1].refused = True
    assert not load.rate_limited


def test_a_snapshot_knows_the_tiers_of_a_group() -> None:
    tiers = [[candidate("a")], [candidate("b")]]
    assert snapshot(tiers).tiers(group()) is tiers
