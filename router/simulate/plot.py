"""The result as a picture. Needs matplotlib, which comes with the extra `plots`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from router.core.simulator.summary import Interval, Summary
from router.simulate.errors import SimulateError

MISSING = "plots need matplotlib: pip install 'llm-router[plots]'"
_PERCENTILES = ("p50", "p95", "p99")


def load_matplotlib() -> Any:
    """`matplotlib.figure`, which draws without a screen. Raises SimulateError."""
    try:
        return import_module("matplotlib.figure")
    except ImportError:
        raise SimulateError(MISSING) from None


def plot(path: Path, title: str, pairs: Sequence[tuple[str, Summary]]) -> None:
    """Times, failures, cost and shares by row, with the 95 % intervals. Raises SimulateError."""
    figure = load_matplotlib().Figure(figsize=(14.0, 3.0 + 0.9 * len(pairs)), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(2, 2)
    names = [name for name, _ in pairs]
    _times(axes[0][0], names, pairs, "first_token", "time to first token, s")
    _times(axes[0][1], names, pairs, "total", "total time, s")
    _counts(axes[1][0], names, pairs)
    _shares(axes[1][1], names, pairs)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise SimulateError(f"{path}: cannot write the plot: {error}") from None


def _times(axis: Any, names: list[str], pairs: Sequence[tuple[str, Summary]], measure: str, label: str) -> None:
    for place, percentile in enumerate(_PERCENTILES):
        values = [summary.of[f"{measure}_{percentile}"] for _, summary in pairs]
        _bars(axis, place, len(_PERCENTILES), names, values, percentile)
    axis.set_xscale("log")
    axis.set_xlabel(label)


def _counts(axis: Any, names: list[str], pairs: Sequence[tuple[str, Summary]]) -> None:
    for place, (key, label) in enumerate((("failures", "failures"), ("rate_limited", "429s"), ("retries", "retries"))):
        _bars(axis, place, 3, names, [summary.of[key] for _, summary in pairs], label)
    axis.set_xscale("symlog")
    axis.set_xlabel("per run")


def _bars(axis: Any, place: int, of: int, names: list[str], values: Sequence[Interval], label: str) -> None:
    height = 0.8 / of
    rows = [row + height * (place - (of - 1) / 2.0) for row in range(len(names))]
    axis.barh(rows, [v.mean for v in values], height, xerr=[v.half for v in values], label=label)
    axis.set_yticks(range(len(names)), names)
    if place == 0:
        axis.invert_yaxis()
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _shares(axis: Any, names: list[str], pairs: Sequence[tuple[str, Summary]]) -> None:
    left = [0.0] * len(names)
    for deployment in sorted({name for _, summary in pairs for name in summary.shares}):
        shares = [summary.shares.get(deployment, Interval(0.0, 0.0)).mean for _, summary in pairs]
        axis.barh(range(len(names)), shares, 0.8, left=left, label=deployment)
        left = [before + share for before, share in zip(left, shares, strict=True)]
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlabel("share of served requests")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
