"""Reading how each deployment would serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.core.errors import ConfigError
from router.core.simulator.model import FOREVER, MachineModel, Outage, OutageKind, Scenario, SlowDown
from router.simulate.scenario import read_scenario

ROOT = Path(__file__).parent.parent.parent


def read(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    return read_scenario(path, ["east", "west"])


def test_an_entry_takes_from_the_defaults_what_it_leaves_out(tmp_path: Path) -> None:
    scenario = read(tmp_path, "defaults: {slots: 4, jitter: 0.5}\ndeployments:\n  east: {slots: 8, rpm: 60}\n")
    assert scenario.machine("east") == MachineModel(slots=8, jitter=0.5, rpm=60)
    assert scenario.machine("west") == MachineModel(slots=4, jitter=0.5)


def test_outages_and_slow_downs_are_spans_of_time(tmp_path: Path) -> None:
    text = """
    deployments:
      east:
        outages: [{from: 0, until: 60, kind: "429", retry_after: 5}, {from: 100, kind: hang}]
        slow_downs: [{from: 10, until: 20, factor: 3}]
    """
    east = read(tmp_path, text).machine("east")
    assert east.outages == (Outage(0.0, 60.0, OutageKind.RATE_LIMITED, 5.0), Outage(100.0, FOREVER, OutageKind.HANG))
    assert east.slow_downs == (SlowDown(10.0, 20.0, 3.0),)


def test_an_empty_file_leaves_everything_at_its_default(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Scenario()
    assert read(tmp_path, "defaults:\ndeployments:\n") == Scenario()


def test_every_problem_is_told_with_its_place(tmp_path: Path) -> None:
    text = """\
defaults: {slots: 0}
deployments:
  eest: {}
  west:
    decod: 3
    outages: [{from: 10, until: 5}]
"""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    told = [line.removeprefix(f"{tmp_path}/") for line in caught.value.problems]
    assert [line.split(": ")[:2] for line in told] == [
        ["model.yaml:1:19", "defaults.slots"],
        ["model.yaml:5:5", "deployments.west.decod"],
        ["model.yaml:6:15", "deployments.west.outages.0"],
    ]
    with pytest.raises(ConfigError, match=r"model\.yaml:2:3: deployments\.eastt: .*did you mean east"):
        read(tmp_path, "deployments:\n  eastt: {}\n")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the scenario: No such file"):
        read_scenario(tmp_path / "none.yaml", [])


@pytest.mark.parametrize("name", ["unequal.yaml", "unequal-code.yaml"])
def test_the_shipped_scenarios_are_those_of_the_page_on_strategies(name: str) -> None:
    ids = ["steady-1", "steady-2", "steady-3", "slow", "limited", "failing"]
    scenario = read_scenario(ROOT / "bench/scenarios" / name, ids)
    steady, slow, failing = (scenario.machine(one) for one in ("steady-1", "slow", "failing"))
    assert (slow.prefill, slow.decode) == (steady.prefill / 2, steady.decode / 2)
    assert scenario.machine("limited").rpm
    (outage,) = failing.outages
    assert outage.end - outage.start == 120.0
