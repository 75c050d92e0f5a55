from __future__ import annotations

from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.estimators import Ewma, LineFit, PeakEwma
from tests.core.making import START

SAMPLES = st.lists(st.floats(0.0, 1e3), min_size=1, max_size=30)


def test_a_mean_begins_with_its_first_sample() -> None:
    mean = Ewma(10.0)
    assert mean.value is None
    mean.add(4.0)
    assert mean.value == 4.0
    mean.add(14.0)
    assert mean.value == 5.0


def test_a_mean_comes_to_what_it_is_told_again_and_again() -> None:
    mean = Ewma(10.0)
    for sample in [100.0] + [1.0] * 100:
        mean.add(sample)
    assert mean.value == pytest.approx(1.0, abs=0.01)


@given(SAMPLES)
def test_a_mean_lies_between_its_samples(samples: list[float]) -> None:
    mean = Ewma(5.0)
    for sample in samples:
        mean.add(sample)
    assert mean.value is not None
    assert min(samples) - 1e-9 <= mean.value <= max(samples) + 1e-9


def test_a_peak_replaces_the_mean_at_once() -> None:
    mean = PeakEwma(10.0)
    mean.add(START, 1.0)
    mean.add(START + 1.0, 8.0)
    assert mean.read(START + 1.0, 5.0) == 8.0


def test_a_lower_sample_pulls_it_down_by_the_time_that_has_passed() -> None:
    mean = PeakEwma(10.0)
    mean.add(START, 8.0)
    mean.add(START, 1.0)
    assert mean.read(START, 5.0) == 8.0, "no time has passed"
    mean.add(START + 10.0, 1.0)
    assert mean.read(START + 10.0, 5.0) == pytest.approx(1.0 + 7.0 / exp(1))


def test_silence_is_no_news_for_a_while_and_then_fades_what_is_known() -> None:
    mean = PeakEwma(10.0)
    assert mean.read(START, 5.0) is None
    mean.add(START, 8.0)
    assert mean.read(START + 5.0, 5.0) == 8.0
    assert mean.read(START + 15.0, 5.0) == pytest.approx(8.0 / exp(1))
    assert mean.read(START + 500.0, 5.0) == pytest.approx(0.0, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0.0, 60.0), st.floats(0.0, 1e3)), min_size=1, max_size=30))
def test_a_peak_mean_never_leaves_the_range_of_its_samples(steps: list[tuple[float, float]]) -> None:
    mean, now = PeakEwma(10.0), START
    for pause, sample in steps:
        now += pause
        mean.add(now, sample)
        value = mean.read(now, 5.0)
        assert value is not None
        assert sample - 1e-9 <= value <= max(each for _, each in steps) + 1e-9


def test_a_line_finds_the_fixed_part_and_the_slope() -> None:
    line, rng = LineFit(), Random(1)
    assert line.at(1.0) is None
    for _ in range(200):
        x = rng.uniform(0.0, 20.0)
        line.add(x, 0.3 + 0.05 * x + rng.gauss(0.0, 0.01))
    assert line.at(0.0) == pytest.approx(0.3, abs=0.01)
    assert line.at(20.0) == pytest.approx(1.3, abs=0.02)


def test_a_line_forgets() -> None:
    line = LineFit()
    for x in range(100):
        line.add(x % 10, 5.0)
    for x in range(500):
        line.add(x % 10, 1.0 + x % 10)
    assert line.at(4.0) == pytest.approx(5.0, abs=0.01)
    assert line.at(0.0) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("count", [1, 2, 50])
def test_where_all_samples_are_alike_a_line_is_flat(count: int) -> None:
    line = LineFit()
    for _ in range(count):
        line.add(3.0, 0.7)
    assert line.at(0.0) == pytest.approx(0.7)
    assert line.at(100.0) == pytest.approx(0.7)


def test_longer_is_never_faster() -> None:
    line = LineFit()
    line.add(1.0, 5.0)
    line.add(10.0, 1.0)
    assert line.at(100.0) == line.at(0.0) == pytest.approx(3.0, abs=0.1)


@given(st.lists(st.tuples(st.floats(0.0, 1e3), st.floats(0.0, 1e3)), min_size=1, max_size=30), st.floats(0.0, 1e3))
def test_a_line_is_never_below_zero(samples: list[tuple[float, float]], x: float) -> None:
    line = LineFit()
    for sample in samples:
        line.add(*sample)
    at = line.at(x)
    assert at is not None
    assert at >= 0.0
