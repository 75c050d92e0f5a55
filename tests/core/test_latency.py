from __future__ import annotations

import pytest

from router.core.latency import FAILURE_SECONDS, FAILURE_SECONDS_MAX, Latency
from tests.core.making import START


def stream(latency: Latency, now: float = START, prompt: int = 10) -> float | None:
    return latency.expected(now, True, prompt, 0.0)


def whole(latency: Latency, now: float = START, output: float = 100.0) -> float | None:
    return latency.expected(now, False, 10, output)


def test_nothing_is_expected_before_the_first_sample() -> None:
    assert stream(Latency()) is None
    assert whole(Latency()) is None


def test_streams_and_whole_replies_are_never_mixed() -> None:
    latency = Latency()
    latency.streamed(START, 10, 0.4)
    assert whole(latency) is None
    latency.replied(START, 100, 5.0)
    assert stream(latency) == pytest.approx(0.4)
    assert whole(latency) == pytest.approx(5.0)


def test_a_whole_reply_is_expected_to_take_as_long_as_its_output() -> None:
    latency = Latency()
    latency.replied(START, 100, 5.0)
    assert whole(latency, output=20.0) == pytest.approx(1.0)
    assert whole(latency, output=0.0) == pytest.approx(0.05), "an embedding has no output, and takes its time"


def test_a_long_prompt_is_no_sign_of_slowness() -> None:
    latency = Latency()
    for round_ in range(50):
        for prompt in (0, 10_000):
            latency.streamed(START + round_, prompt, 0.2 + prompt * 1e-4)
    now = START + 50.0
    assert stream(latency, now, prompt=0) == pytest.approx(0.2, abs=0.01)
    assert stream(latency, now, prompt=10_000) == pytest.approx(1.2, abs=0.02)


def test_twice_as_slow_as_usual_is_twice_as_slow_for_every_length() -> None:
    latency = Latency()
    for round_ in range(100):
        prompt = round_ % 10 * 1000
        latency.streamed(START + round_, prompt, 0.2 + prompt * 1e-4)
    latency.streamed(START + 100.0, 5000, 2 * 0.7)
    assert stream(latency, START + 100.0, prompt=1000) == pytest.approx(2 * 0.3, rel=0.1)


def test_a_failure_counts_as_slow_however_fast_it_came() -> None:
    latency = Latency()
    latency.streamed(START, 10, 0.1)
    latency.failed(START, None)
    assert stream(latency) == whole(latency) == FAILURE_SECONDS


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(None, FAILURE_SECONDS), (0.1, FAILURE_SECONDS), (20.0, 20.0), (3600.0, 60.0)]
)
def test_a_failure_counts_for_as_long_as_it_asks_for(retry_after: float | None, seconds: float) -> None:
    latency = Latency()
    latency.failed(START, retry_after)
    assert stream(latency) == seconds <= FAILURE_SECONDS_MAX


def test_a_failure_is_forgotten_with_time() -> None:
    latency = Latency()
    latency.streamed(START, 10, 0.1)
    latency.failed(START, None)
    later = stream(latency, START + 60.0)
    assert later is not None
    assert later < 0.1


def test_a_failure_is_forgotten_sooner_where_successes_follow() -> None:
    latency = Latency()
    latency.failed(START, None)
    for second in range(1, 31):
        latency.streamed(START + second, 10, 0.1)
    assert stream(latency, START + 30.0) == pytest.approx(0.25, abs=0.01), "5 s · e⁻³"
    for second in range(31, 200):
        latency.streamed(START + second, 10, 0.1)
    assert stream(latency, START + 199.0) == pytest.approx(0.1)


def test_what_only_ever_failed_is_one_day_as_good_as_unknown() -> None:
    latency = Latency()
    latency.failed(START, None)
    assert stream(latency, START + 500.0) is None
