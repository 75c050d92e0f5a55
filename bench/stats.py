"""The statistics: medians, nearest-rank percentiles, and bootstrap intervals of paired ratios. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from random import Random
from statistics import median

RESAMPLES = 5_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A median and the bounds of its 95 % interval."""

    median: float
    low: float
    high: float


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed. Raises ValueError for none."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def bootstrap(values: Sequence[float], rng: Random, resamples: int = RESAMPLES) -> Interval:
    """The median, with its percentile-bootstrap interval (Efron 1979): the values are drawn anew with replacement."""
    if not values:
        raise ValueError("no values")
    medians = sorted(median(rng.choices(values, k=len(values))) for _ in range(resamples))
    return Interval(median(values), percentile(medians, 0.025), percentile(medians, 0.975))


def paired_ratios(subject: Sequence[float | None], reference: Sequence[float | None]) -> list[float]:
    """Subject over reference, round by round. A round that either of them missed is left out."""
    return [
        mine / theirs
        for mine, theirs in zip(subject, reference, strict=True)
        if mine is not None and theirs is not None and theirs > 0 and isfinite(mine) and isfinite(theirs)
    ]


def ratio(subject: Sequence[float | None], reference: Sequence[float | None], seed: int = 0) -> Interval | None:
    """The median of the paired ratios, with its interval; None where no round has both."""
    ratios = paired_ratios(subject, reference)
    return bootstrap(ratios, Random(seed)) if ratios else None
