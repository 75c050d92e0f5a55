from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.core.window import Window

START = 1000.0

moments = st.lists(st.floats(min_value=0.0, max_value=300.0, allow_nan=False), min_size=1, max_size=80).map(sorted)


def test_a_sample_counts_for_a_minute_and_no_longer() -> None:
    window = Window()
    window.add(START, 5)
    assert window.total(START + 59.999) == 5
    assert window.total(START + 60.0) == 0


def test_what_came_within_one_tick_leaves_together_a_minute_after_the_last_of_it() -> None:
    window = Window()
    window.add(START + 0.01, 1)
    window.add(START + 0.09, 1)
    assert window.total(START + 60.05) == 2
    assert window.total(START + 60.1) == 0


def test_a_long_silence_empties_the_window_at_once() -> None:
    window = Window()
    for second in range(60):
        window.add(START + second, 1)
    assert window.total(START + 59.0) == 60
    assert window.total(START + 1e6) == 0


def test_memory_is_bounded_by_the_ticks_of_a_minute() -> None:
    window = Window()
    for hundredth in range(20_000):
        window.add(START + hundredth / 100, 1)
    assert len(window._buckets) <= 601


def test_a_correction_changes_what_was_booked_in_its_own_second() -> None:
    window = Window()
    first = window.add(START, 100)
    window.add(START + 30.0, 7)
    window.correct(first, -60)
    assert window.total(START + 59.0) == 47
    assert window.total(START + 60.0) == 7


def test_a_correction_of_what_has_left_the_window_changes_nothing() -> None:
    window = Window()
    first = window.add(START, 100)
    window.add(START + 61.0, 7)
    window.correct(first, -60)
    assert window.total(START + 61.0) == 7


def test_it_frees_when_enough_of_the_oldest_has_left() -> None:
    window = Window()
    for second, amount in ((0, 3), (10, 4), (20, 3)):
        window.add(START + second, amount)
    assert window.frees_at(START + 30.0, 1, 11) == START + 30.0
    assert window.frees_at(START + 30.0, 1, 10) == START + 60.0
    assert window.frees_at(START + 30.0, 3, 10) == START + 60.0
    assert window.frees_at(START + 30.0, 4, 10) == START + 70.0
    assert window.frees_at(START + 30.0, 10, 10) == START + 80.0


def test_what_is_larger_than_the_limit_fits_an_empty_window_only() -> None:
    window = Window()
    assert window.fits(START, 500, 100)
    window.add(START, 1)
    assert not window.fits(START, 500, 100)
    assert window.frees_at(START, 500, 100) == START + 60.0
    assert window.fits(START + 60.0, 500, 100)


def test_it_is_empty_when_the_last_of_it_has_left_and_at_once_where_nothing_counts() -> None:
    window = Window()
    assert window.empty_at(START) == START
    window.add(START, 2)
    last = window.add(START + 5.0, 2)
    assert window.empty_at(START + 6.0) == START + 65.0
    window.correct(last, -2)
    assert window.empty_at(START + 6.0) == START + 60.0


@given(moments, st.integers(min_value=1, max_value=10))
def test_never_more_than_the_limit_is_admitted_in_any_sixty_seconds(times: list[float], limit: int) -> None:
    window = Window()
    admitted = []
    for now in times:
        if window.fits(now, 1, limit):
            window.add(now, 1)
            admitted.append(now)
    for begin in admitted:
        assert sum(begin <= moment < begin + 60.0 for moment in admitted) <= limit


@given(moments, st.integers(min_value=1, max_value=10))
def test_no_sample_is_counted_for_as_much_as_a_second_too_long(times: list[float], limit: int) -> None:
    window = Window()
    for position, now in enumerate(times):
        true = sum(now < moment + 60.0 for moment in times[:position])
        late = sum(now < moment + 61.0 for moment in times[:position])
        assert true <= window.total(now) <= late
        window.add(now, 1)


@given(moments, st.integers(min_value=1, max_value=5), st.integers(min_value=1, max_value=8))
def test_what_does_not_fit_fits_at_the_moment_that_is_named_and_not_before(
    times: list[float], amount: int, limit: int
) -> None:
    window = Window()
    for now in times:
        window.add(now, 1)
    now = times[-1]
    frees = window.frees_at(now, amount, limit)
    assert (frees == now) == window.fits(now, amount, limit)
    if frees > now:
        before = max(now, frees - 1e-6)
        assert not window.fits(before, amount, limit)
        assert window.fits(frees, amount, limit)
