from __future__ import annotations

import pytest

from router.core.keys import TRIAL, KeyHealth
from tests.core.making import START


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


def rested(seconds: float = 5.0) -> KeyHealth:
    """One whose rest is over at START."""
    key = KeyHealth()
    key.cool(START - seconds, seconds, 300.0)
    return key


def test_a_key_that_comes_back_is_tried_by_one_request_at_a_time() -> None:
    key = rested()
    trial = key.attempt(START)
    assert trial == key.until == START + TRIAL
    assert key.attempt(START + 0.5) == 0.0, "sent nevertheless, and no trial"
    assert key.until == trial


def test_a_good_answer_ends_the_trial_and_the_row_of_rests() -> None:
    key = rested()
    key.attempt(START)
    key.did_well(START + 0.2)
    assert (key.until, key.streak) == (START + 0.2, 0)
    assert key.cool(START + 1.0, None, 300.0) == 5.0


def test_another_429_begins_another_rest_twice_as_long() -> None:
    key = rested()
    key.attempt(START)
    assert key.cool(START + 0.2, None, 300.0) == 10.0


def test_a_rest_shorter_than_a_trial_begins_at_once() -> None:
    key = rested()
    key.attempt(START)
    key.cool(START + 0.1, 0.2, 300.0)
    assert key.until == pytest.approx(START + 0.3)


def test_a_trial_that_tells_nothing_is_given_back() -> None:
    key = rested()
    key.give_back(key.attempt(START), START + 0.3, sent=True)
    assert key.until == START + 0.3
    assert key.attempt(START + 0.3) == START + 0.3 + TRIAL / 2, "the next has it for half as long"


def test_trials_that_tell_nothing_keep_the_others_away_for_two_seconds_at_most() -> None:
    key, now = rested(), START
    for _ in range(40):
        trial = key.attempt(now)
        now += 0.99 * (trial - now)
        key.give_back(trial, now, sent=True)
    assert now - START <= 2.0 * TRIAL + 0.001


def test_who_gives_back_late_takes_nothing_from_the_trial_under_way() -> None:
    key = rested()
    first = key.attempt(START)
    second = key.attempt(first)
    key.give_back(first, first, sent=True)
    assert key.until == second


def test_what_was_sent_before_the_rest_does_not_end_it() -> None:
    key = KeyHealth()
    key.cool(START, 5.0, 300.0)
    key.did_well(START + 1.0)
    assert (key.until, key.streak) == (START + 5.0, 1)


def test_trials_that_are_not_refused_let_the_others_in_ever_sooner() -> None:
    key, now, times = rested(), START, []
    for _ in range(40):
        trial = key.attempt(now)
        times.append(trial - now)
        now = trial
    assert times[:4] == [TRIAL, TRIAL / 2, TRIAL / 4, TRIAL / 8]
    assert now - START <= 2.0 * TRIAL + 0.001, "a reply that takes a minute to begin starves nobody"


def test_a_rest_that_a_sibling_was_told_of_ends_with_a_trial_too() -> None:
    key = KeyHealth()
    key.hear(START, refused=False)
    assert key.attempt(START) == START + TRIAL


def test_a_trial_that_was_sent_to_nobody_was_none() -> None:
    key = rested()
    for _ in range(10):
        key.give_back(key.attempt(START), START, sent=False)
    assert key.attempt(START) == START + TRIAL
