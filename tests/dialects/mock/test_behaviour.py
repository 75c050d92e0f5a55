"""What can be scripted, and what is refused."""

from __future__ import annotations

from random import Random

import pytest

from router.dialects.mock.behaviour import ACTIONS, Behaviour, parse_script


@pytest.mark.parametrize("step", [*ACTIONS, "400", "429", "503", "529", "599"])
def test_every_known_step_is_accepted(step: str) -> None:
    assert Behaviour(script=(step,), failure=step).script == (step,)


@pytest.mark.parametrize("step", ["", "200", "302", "600", "503x", "sleep", "-503", "٥٠٣"])
def test_an_unknown_step_is_refused_with_the_list_of_known_ones(step: str) -> None:
    with pytest.raises(ValueError, match=r"unknown step .*400 to 599.*truncate.*429-quota"):
        Behaviour(script=("ok", step))
    with pytest.raises(ValueError, match="unknown step"):
        Behaviour(failure=step)


def test_statuses_may_be_numbers_as_yaml_reads_them() -> None:
    behaviour = Behaviour().changed({"script": ["ok", 503], "failure": 500})
    assert behaviour.script == ("ok", "503")
    assert behaviour.failure == "500"


@pytest.mark.parametrize(
    "changes",
    [
        {"time_to_first_token": -1},
        {"time_to_first_token": float("nan")},
        {"tokens_per_second": "fast"},
        {"tokens_per_second": float("inf")},
        {"output_tokens": 1.5},
        {"output_tokens": True},
        {"failure_rate": 1.1},
        {"retry_after": -0.1},
        {"rate_limit_headers": 1},
        {"reply": None},
        {"script": "ok,503"},
        {"colour": "red"},
    ],
)
def test_a_value_that_cannot_be_played_is_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        Behaviour().changed(changes)


def test_a_script_starts_over_at_its_end() -> None:
    behaviour = Behaviour(script=("ok", "503", "hang"))
    assert [behaviour.step(i, Random(0)) for i in range(5)] == ["ok", "503", "hang", "ok", "503"]


def test_the_failure_rate_hits_its_share_of_the_ok_steps_only() -> None:
    rng = Random(7)
    behaviour = Behaviour(failure_rate=0.25, failure="500")
    steps = [behaviour.step(i, rng) for i in range(4000)]
    assert set(steps) == {"ok", "500"}
    assert 900 < steps.count("500") < 1100
    assert Behaviour(script=("hang",), failure_rate=1.0).step(0, rng) == "hang"


def test_a_script_is_read_from_a_comma_separated_text() -> None:
    assert parse_script(" ok, 503,,hang ") == ("ok", "503", "hang")
    assert parse_script("") == ()
    with pytest.raises(ValueError, match="'nope'"):
        parse_script("ok,nope")
