from __future__ import annotations

from router.process.backoff import FIRST, LONGEST, PROVEN, Backoff


def test_every_early_end_doubles_the_wait_up_to_half_a_minute() -> None:
    backoff = Backoff()
    waits = [backoff.ended(0.5) for _ in range(12)]
    assert waits[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert waits[-1] == LONGEST


def test_a_long_life_makes_it_begin_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.ended(1.0)
    assert backoff.ended(PROVEN) == FIRST
    assert backoff.ended(1.0) == 2 * FIRST


def test_it_never_overflows() -> None:
    backoff = Backoff()
    assert {backoff.ended(0.0) for _ in range(3000)} >= {LONGEST}
