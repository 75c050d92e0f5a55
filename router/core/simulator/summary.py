"""Several runs of one row, told apart by their seeds, as means with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import sqrt
from typing import NamedTuple

from router.core.simulator.tally import Figures

_T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045),
)
"""Student's t, two-sided 95 %, for 1, 2, … 29 degrees of freedom."""


class Interval(NamedTuple):
    """A mean, and half of the width of its 95 % interval (0 for a single run)."""

    mean: float
    half: float


def interval(values: Sequence[float]) -> Interval:
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return Interval(mean, 0.0)
    deviation = sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    t = _T95[count - 2] if count - 2 < len(_T95) else 1.96 + 2.4 / (count - 1)
    return Interval(mean, t * deviation / sqrt(count))


@dataclass(frozen=True, slots=True)
class Summary:
    """`of` by the name of a figure (see `Figures`), `shares` by deployment id; counts are sums over the runs."""

    runs: int
    of: dict[str, Interval]
    shares: dict[str, Interval]
    errors: dict[str, int]
    attempt_failures: dict[str, int]
    rejections: dict[str, int]


def summarise(runs: Sequence[Figures]) -> Summary:
    """At least one run."""
    numbers = [field.name for field in fields(Figures) if field.type in ("int", "float")]
    names = sorted({name for run in runs for name in run.shares})
    return Summary(
        len(runs),
        {name: interval([float(getattr(run, name)) for run in runs]) for name in numbers},
        {name: interval([run.shares.get(name, 0.0) for run in runs]) for name in names},
        _added(runs, lambda run: run.errors),
        _added(runs, lambda run: run.attempt_failures),
        _added(runs, lambda run: run.rejections),
    )


def _added(runs: Sequence[Figures], counts: Callable[[Figures], Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for run in runs:
        total.update(counts(run))
    return dict(sorted(total.items()))
