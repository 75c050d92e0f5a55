"""`llm-router simulate`, from its arguments to its tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from router.cli import cli
from router.core.strategies import STRATEGIES

DATA = Path(__file__).parent.parent / "data"
TRACE = str(DATA / "azure-llm-2023-conv-2000.csv")
DEPLOYMENTS = """\
defaults: {slots: 16, prefill: 8000, decode: 50, jitter: 0.1}
deployments:
  slow: {prefill: 4000, decode: 25}
  short: {rpm: 30}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    deployments = [
        {"model_name": "m", "id": name, "provider": "openai", "api_base": f"http://{name}.test", "api_key": "sk-hidden",
         "input_cost_per_token": 1e-6, "output_cost_per_token": 4e-6}
        for name in ("fast", "slow", "short")
    ]  # fmt: skip
    path = tmp_path / "router.yaml"
    path.write_text(json.dumps({"model_list": deployments}))
    (tmp_path / "model.yaml").write_text(DEPLOYMENTS)
    return str(path)


def simulate(config: str, *arguments: str, trace: str = TRACE) -> Result:
    model = str(Path(config).parent / "model.yaml")
    given = ["simulate", trace, "--config", config, "--deployments", model, "--limit", "400", "--jobs", "1", *arguments]
    return CliRunner().invoke(cli, given)


def document(config: str, *arguments: str, trace: str = TRACE) -> dict[str, Any]:
    result = simulate(config, "--json", *arguments, trace=trace)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_table_tells_of_every_strategy(config: str) -> None:
    result = simulate(config, "--strategy", "weighted", "--strategy", "least-busy", "--seeds", "2", "--load", "0.7")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("400 requests of azure-llm-2023-conv-2000.csv in ")
    assert "load 70%, 2 seeds" in lines[0]
    assert sum(line.startswith("| weighted ") for line in lines) == 2
    assert sum(line.startswith("| least-busy ") for line in lines) == 2
    assert " ± " in next(line for line in lines if line.startswith("| weighted "))
    assert "sk-hidden" not in result.output


def test_json_tells_everything_and_is_the_same_every_time(config: str) -> None:
    told = document(config, "--strategy", "weighted", "--seed", "3", "--seeds", "2", "--rate", "2.5")
    assert told == document(config, "--strategy", "weighted", "--seed", "3", "--seeds", "2", "--rate", "2.5")
    assert (told["rate"], told["seeds"], told["requests"]) == (2.5, [3, 4], 400)
    (row,) = told["rows"]
    assert (row["config"], row["strategy"]) == ("router", "weighted")
    figures = row["figures"]
    assert figures["served"]["mean"] + figures["failures"]["mean"] == 400
    assert 0 < figures["first_token_p50"]["mean"] <= figures["first_token_p99"]["mean"] <= figures["total_p99"]["mean"]
    assert figures["cost"]["mean"] > 0
    assert sum(share["mean"] for share in row["shares"].values()) == pytest.approx(1.0)


def test_several_processes_give_the_same_result_as_one(config: str) -> None:
    arguments = ("--strategy", "weighted", "--seeds", "2")
    assert document(config, *arguments, "--jobs", "2") == document(config, *arguments)


def test_several_configurations_are_compared(config: str, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(Path(config).read_text().replace('"id": "slow"', '"id": "slow-2"'))
    told = document(config, "--config", str(other))
    assert [row["config"] for row in told["rows"]] == ["router", "other"]
    assert set(told["rows"][1]["shares"]) == {"fast", "slow-2", "short"}


def test_copies_have_a_column_where_a_configuration_hedges(config: str) -> None:
    path = Path(config)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"routing": {"hedging": {"enabled": True}}}))
    result = simulate(config, "--load", "0.7")
    assert result.exit_code == 0, result.output
    assert "| retries | hedges | attempts |" in result.stdout
    assert "hedges" not in simulate(config, "--load", "0.7", "--limit", "10").stdout


def test_the_load_chooses_the_rate(config: str) -> None:
    once, twice = (document(config, "--load", load) for load in ("0.4", "0.8"))
    assert twice["rate"] == pytest.approx(2 * once["rate"])
    assert (once["load"], twice["load"]) == (pytest.approx(0.4), pytest.approx(0.8))
    assert twice["seconds"] == pytest.approx(once["seconds"] / 2)


def test_every_strategy_can_be_asked_for_at_once(config: str) -> None:
    assert [row["strategy"] for row in document(config, "--strategy", "all")["rows"]] == list(STRATEGIES)


def test_replicas_are_simulated(config: str) -> None:
    told = document(config, "--replicas", "4", "--staleness", "0.5")
    assert (told["replicas"], told["staleness"]) == (4, 0.5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--strategy", "fastest"], "unknown strategy fastest; known are "),
        (["--model", "n"], "the model n is not served"),
        (["--rate", "2", "--load", "0.5"], "exclude each other"),
        (["--rate", "0"], "--rate"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml: cannot read the configuration"),
    ],
)
def test_what_cannot_be_simulated_is_told(config: str, arguments: list[str], told: str) -> None:
    result = simulate(config, *arguments)
    assert result.exit_code == 2
    assert told in result.output
    assert "Traceback" not in result.output


def test_a_trace_that_names_no_model_needs_one_where_there_are_several(config: str) -> None:
    document_ = json.loads(Path(config).read_text())
    document_["model_list"].append({"model_name": "n", "provider": "mock", "id": "n-1"})
    Path(config).write_text(json.dumps(document_))
    result = simulate(config)
    assert (result.exit_code, "choose one with --model; known are m, n" in result.output) == (2, True)
    assert set(document(config, "--model", "n")["rows"][0]["shares"]) == {"n-1"}


def test_a_trace_that_names_a_model_not_served_is_told(config: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp,prompt_tokens,output_tokens,model\n1,2,3,mm\n")
    result = simulate(config, trace=str(trace))
    assert (result.exit_code, "the model mm is not served; --model chooses another one: m" in result.output) == (
        2,
        True,
    )
    assert document(config, "--model", "m", trace=str(trace))["requests"] == 1


def test_without_matplotlib_a_plot_is_refused_before_the_work(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = simulate(config, "--plot", "out.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install 'llm-router[plots]'" in result.stderr


class Recorder:
    """Stands for every object of matplotlib: notes what is called, and gives more of itself."""

    def __init__(self, calls: list[tuple[str, Any]]) -> None:
        self.calls = calls

    def subplots(self, rows: int, columns: int) -> list[list[Recorder]]:
        return [[self] * columns] * rows

    def __getattr__(self, name: str) -> Any:
        def note(*given: Any, **named: Any) -> None:
            self.calls.append((name, given))

        return note


def test_a_plot_has_bars_for_every_row(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Any]] = []
    stand_in = ModuleType("matplotlib.figure")
    stand_in.Figure = lambda **given: Recorder(calls)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "matplotlib", SimpleNamespace(figure=stand_in))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", stand_in)
    result = simulate(config, "--plot", "out.png", "--strategy", "weighted", "--strategy", "round-robin")
    assert result.exit_code == 0, result.output
    bars = [given for name, given in calls if name == "barh"]
    assert len(bars) == 3 + 3 + 3 + 3  # two times, the counts, one share a deployment
    assert all(len(given[1]) == 2 for given in bars)
    assert ("savefig", (Path("out.png"),)) in calls
