from __future__ import annotations

import pytest

from router.core.estimators import Correction
from tests.core.making import START, candidate, request, snapshot
from tests.core.strategies.shares import doubted, picks, queued, sampled

STREAM = request(stream=True)


def test_the_sooner_of_two_wins_while_it_is_idle() -> None:
    places = [sampled(candidate("slow"), 0.5), sampled(candidate("fast"), 0.2)]
    assert picks("latency-based", places, 50, asked=STREAM) == {"fast": 50}


def test_a_wait_counts_as_much_as_a_slow_start() -> None:
    fast, slow = queued(sampled(candidate("fast"), 0.2), 3, pace=0.15), sampled(candidate("slow"), 0.5)
    assert picks("latency-based", [fast, slow], 50, asked=STREAM) == {"slow": 50}, "0.2 + 3 · 0.15 is more than 0.5"
    fast.load.in_flight -= 2
    assert picks("latency-based", [fast, slow], 50, asked=STREAM) == {"fast": 50}


def test_a_sibling_s_request_is_waited_for_like_one_s_own() -> None:
    fast, slow = queued(sampled(candidate("fast"), 0.2), 1, pace=0.15), sampled(candidate("slow"), 0.6)
    fast.load.siblings = 1
    assert picks("latency-based", [fast, slow], 50, asked=STREAM) == {"fast": 50}
    fast.load.siblings = 2
    assert picks("latency-based", [fast, slow], 50, asked=STREAM) == {"slow": 50}


def test_where_there_is_room_what_is_under_way_counts_for_nothing() -> None:
    fast, slow = sampled(candidate("fast", in_flight=30), 0.2), sampled(candidate("slow"), 0.25)
    fast.load.backlog.room, fast.load.backlog.pace = 31.0, 1.0
    assert picks("latency-based", [fast, slow], 50, asked=STREAM) == {"fast": 50}


def test_of_a_few_everyone_is_compared_even_beside_siblings() -> None:
    places = [sampled(candidate(f"d{rank}", siblings=1), 0.1 * (rank + 1)) for rank in range(10)]
    assert picks("latency-based", places, 50, asked=STREAM) == {"d0": 50}


def test_of_many_the_sooner_of_two_random_ones_is_taken() -> None:
    places = [sampled(candidate(f"d{rank}"), 0.1 * (rank + 1)) for rank in range(20)]
    shares = picks("latency-based", places, 6000, asked=STREAM)
    assert shares["d0"] == pytest.approx(600, rel=0.15), "19 of 190 pairs"
    assert shares["d10"] == pytest.approx(6000 * 9 / 190, rel=0.2)
    assert "d19" not in shares


def test_what_is_under_way_multiplies_the_time_of_a_whole_reply() -> None:
    fast, slow = candidate("fast", in_flight=2), candidate("slow")
    fast.load.latency.replied(START, 100, 2.0)
    slow.load.latency.replied(START, 100, 5.0)
    assert picks("latency-based", [fast, slow], 50, asked=request()) == {"slow": 50}, "2 · 3 is more than 5 · 1"
    fast.load.in_flight = 1
    assert picks("latency-based", [fast, slow], 50, asked=request()) == {"fast": 50}


def test_an_unknown_one_gets_its_trial() -> None:
    known, new = sampled(candidate("known"), 0.2), candidate("new")
    assert picks("latency-based", [known, new], 2000, asked=STREAM)["new"] == pytest.approx(1000, rel=0.1)
    queued(known, 1, pace=0.1)
    assert picks("latency-based", [known, new], 50, asked=STREAM) == {"new": 50}


def test_a_trial_that_hangs_draws_no_more_than_what_the_known_one_has() -> None:
    known, new = sampled(candidate("known", in_flight=2), 0.2), candidate("new", in_flight=3)
    assert picks("latency-based", [known, new], 50, asked=STREAM) == {"known": 50}


def test_a_long_prompt_goes_where_long_prompts_are_fast() -> None:
    short, long = candidate("short"), candidate("long")
    for round_ in range(50):
        for prompt in (0, 10_000):
            sampled(short, 0.1 + prompt * 2e-4, prompt, START + round_)
            sampled(long, 0.5 + prompt * 1e-5, prompt, START + round_)
    view = snapshot([[short, long]], now=START + 50.0)
    assert picks("latency-based", [short, long], 50, view=view, asked=request(stream=True, tokens=10)) == {"short": 50}
    assert picks("latency-based", [short, long], 50, view=view, asked=request(stream=True, tokens=9000)) == {"long": 50}


@pytest.mark.parametrize("strategy", ["latency-based", "adaptive"])
def test_a_prompt_is_as_long_as_replies_have_taught_when_its_time_is_read_as_when_it_was_learned(strategy: str) -> None:
    short, long = candidate("short"), candidate("long")
    for round_ in range(50):
        for prompt in (0, 10_000):
            sampled(short, 0.1 + prompt * 2e-4, prompt, START + round_)
            sampled(long, 0.5 + prompt * 1e-5, prompt, START + round_)
    view, half = snapshot([[short, long]], now=START + 50.0), Correction()
    half.value = 0.5
    view.prompts = {"gpt": half}
    asked = request(stream=True, tokens=3000)
    assert picks(strategy, [short, long], 50, view=view, asked=asked) == {"short": 50}, "the lines cross at 2,105"
    view.prompts = {}
    assert picks(strategy, [short, long], 50, view=view, asked=asked) == {"long": 50}


def test_whole_replies_are_compared_by_their_pace() -> None:
    slow_start, slow_pace = sampled(candidate("start"), 5.0), sampled(candidate("pace"), 0.1)
    slow_start.load.latency.replied(START, 100, 1.0)
    slow_pace.load.latency.replied(START, 100, 3.0)
    assert picks("latency-based", [slow_start, slow_pace], 50, asked=request()) == {"start": 50}
    assert picks("latency-based", [slow_start, slow_pace], 50, asked=STREAM) == {"pace": 50}


def test_failing_fast_attracts_nothing() -> None:
    failing, sound = sampled(candidate("failing"), 0.01), sampled(candidate("sound"), 0.5)
    failing.load.latency.failed(START, None)
    assert picks("latency-based", [failing, sound], 50, asked=STREAM) == {"sound": 50}


def test_one_in_doubt_is_asked_later() -> None:
    places = [doubted(sampled(candidate("doubted"), 0.2)), sampled(candidate("sound"), 0.3)]
    assert picks("latency-based", places, 50, asked=STREAM) == {"sound": 50}
