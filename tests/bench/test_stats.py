from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import bootstrap, paired_ratios, percentile, ratio

SOME = st.lists(st.floats(min_value=0.1, max_value=1e6), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.99, 7.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([float(n) for n in range(1, 101)], 1.0, 100.0),
        ([float(n) for n in range(1, 101)], 0.0, 1.0),
    ],
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_no_values_have_no_percentile_and_no_interval() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="no values"):
        bootstrap([], Random(0))


def test_a_ratio_is_taken_within_a_round_so_that_what_slows_both_cancels_out() -> None:
    quiet_then_noisy = [100.0, 10.0, 50.0]
    interval = ratio([each * 2 for each in quiet_then_noisy], quiet_then_noisy)
    assert interval is not None
    assert (interval.median, interval.low, interval.high) == (2.0, 2.0, 2.0)


def test_a_round_that_either_missed_is_left_out() -> None:
    assert paired_ratios([1.0, None, 3.0, 4.0], [2.0, 2.0, None, 0.0]) == [0.5]
    assert ratio([None], [1.0]) is None


@given(SOME)
def test_an_interval_holds_its_median_and_stays_within_the_values(values: list[float]) -> None:
    interval = bootstrap(values, Random(1), resamples=200)
    assert interval.median == median(values)
    assert min(values) <= interval.low <= interval.high <= max(values)


def test_an_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    rng = Random(7)
    intervals = [bootstrap([rng.gauss(10, 2) for _ in range(15)], rng, resamples=300) for _ in range(300)]
    covered = sum(each.low <= 10 <= each.high for each in intervals) / len(intervals)
    assert 0.88 <= covered <= 1.0


def test_the_same_samples_give_the_same_interval() -> None:
    samples = [1.0, 1.5, 1.2, 1.9, 1.1]
    assert ratio(samples, [1.0] * 5) == ratio(samples, [1.0] * 5)
