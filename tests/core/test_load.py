from __future__ import annotations

import pytest

from router.core.load import BackendLoad, KeyHealth
from tests.core.making import POLICY, START, candidate, group, snapshot


def test_a_key_rests_as_long_as_it_was_told() -> None:
    key = KeyHealth()
    assert key.cool(START, 17.0, 300.0) == 17.0
    assert key.until == START + 17.0


def test_without_a_time_a_key_rests_five_seconds_and_doubles_up_to_the_longest() -> None:
    key, now, rests = KeyHealth(), START, []
    for _ in range(9):
        rests.append(key.cool(now, None, 300.0))
        now = key.until
    assert rests == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]


def test_doubling_for_ever_does_not_overflow() -> None:
    key, now = KeyHealth(), START
    for _ in range(2000):
        key.cool(now, None, 300.0)
        now = key.until
    assert key.cool(now, None, 300.0) == 300.0


def test_a_burst_of_429s_at_once_is_one_reason_to_rest() -> None:
    key = KeyHealth()
    assert [key.cool(START, None, 300.0) for _ in range(50)] == [5.0] * 50
    assert key.cool(START + 5.0, None, 300.0) == 10.0


@pytest.mark.parametrize(("second", "until"), [(1.0, 20.0), (20.0, 20.0), (60.0, 60.0)])
def test_the_later_end_of_a_rest_wins(second: float, until: float) -> None:
    key = KeyHealth()
    key.cool(START, 20.0, 300.0)
    assert key.cool(START, second, 300.0) == until


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
