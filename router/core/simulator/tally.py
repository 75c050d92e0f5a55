"""What happened in one simulation, request by request, and the figures made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Filled in while a simulation runs. Times in seconds from a request's arrival, of served requests only."""

    first_token: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    served_by: Counter[str] = field(default_factory=Counter)
    over: int = 0
    attempts: int = 0
    retries: int = 0
    retried: int = 0
    retries_denied: int = 0
    fallbacks: int = 0
    hedges: int = 0
    hedges_won: int = 0
    rate_limited: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    attempt_failures: Counter[str] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    cost: float = 0.0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """One run in numbers. Times in seconds; `cost` in US dollars of the requests whose price is known; `hedges` are the
    copies sent, `hedges_won` those that served; `shares` of the served requests by deployment id."""

    requests: int
    served: int
    failures: int
    first_token_p50: float
    first_token_p95: float
    first_token_p99: float
    total_p50: float
    total_p95: float
    total_p99: float
    rate_limited: int
    retries: int
    retried_requests: int
    retries_denied: int
    fallbacks: int
    hedges: int
    hedges_won: int
    attempts_per_request: float
    cost: float
    unpriced: int
    duration: float
    shares: Mapping[str, float]
    errors: Mapping[str, int]
    attempt_failures: Mapping[str, int]
    rejections: Mapping[str, int]


def figures(tally: Tally, requests: int, duration: float) -> Figures:
    """`duration`: simulated seconds from the first request to the last event."""
    first, total = sorted(tally.first_token), sorted(tally.total)
    served = len(total)
    return Figures(
        requests=requests,
        served=served,
        failures=requests - served,
        first_token_p50=percentile(first, 0.50),
        first_token_p95=percentile(first, 0.95),
        first_token_p99=percentile(first, 0.99),
        total_p50=percentile(total, 0.50),
        total_p95=percentile(total, 0.95),
        total_p99=percentile(total, 0.99),
        rate_limited=tally.rate_limited,
        retries=tally.retries,
        retried_requests=tally.retried,
        retries_denied=tally.retries_denied,
        fallbacks=tally.fallbacks,
        hedges=tally.hedges,
        hedges_won=tally.hedges_won,
        attempts_per_request=tally.attempts / requests if requests else 0.0,
        cost=tally.cost,
        unpriced=tally.unpriced,
        duration=duration,
        shares={name: count / served for name, count in sorted(tally.served_by.items())},
        errors=dict(sorted(tally.errors.items())),
        attempt_failures=dict(sorted(tally.attempt_failures.items())),
        rejections=dict(sorted(tally.rejections.items())),
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of `ordered`, which is sorted, do not exceed, interpolated; 0 where there are none."""
    if not ordered:
        return 0.0
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
