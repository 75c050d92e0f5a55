"""Asks a strategy many times and counts whom it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from router.core.choice import choose as choose_in
from router.core.load import Candidate, Snapshot
from router.core.strategies import STRATEGIES
from router.core.types import RouteRequest
from tests.core.making import START, group, request, snapshot


def choose(
    name: str,
    candidates: Sequence[Candidate],
    rng: Random,
    view: Snapshot | None = None,
    asked: RouteRequest | None = None,
) -> str:
    chosen = STRATEGIES[name].choose(asked or request(), candidates, view or snapshot([candidates]), rng)
    assert chosen is not None
    return chosen.deployment.id


def picks(
    name: str,
    candidates: Sequence[Candidate],
    count: int = 10_000,
    seed: int = 1,
    view: Snapshot | None = None,
    asked: RouteRequest | None = None,
) -> Counter[str]:
    """How often each is chosen while nothing changes."""
    rng = Random(seed)
    return Counter(choose(name, candidates, rng, view, asked) for _ in range(count))


def routed(
    name: str,
    candidates: Sequence[Candidate],
    count: int = 10_000,
    seed: int = 1,
    view: Snapshot | None = None,
    asked: RouteRequest | None = None,
) -> Counter[str]:
    """The same by the way of a request: filters, and large tiers not scanned."""
    rng, view, asked = Random(seed), view or snapshot([candidates]), asked or request()
    shares: Counter[str] = Counter()
    for _ in range(count):
        chosen = choose_in(asked, group(strategy=name), view, rng).candidate
        assert chosen is not None
        shares[chosen.deployment.id] += 1
    return shares


def sampled(place: Candidate, first_token: float, prompt: int = 10, now: float = START) -> Candidate:
    """`place` once a stream's first token has come from it after that long."""
    place.load.latency.streamed(now, prompt, first_token)
    return place


def queued(place: Candidate, behind: int, pace: float) -> Candidate:
    """`place` where one more would be the last of so many in a queue that moves by one every `pace` seconds."""
    backlog = place.load.backlog
    backlog.pace = pace
    place.load.in_flight = int(backlog.room) - 1 + behind
    return place


def doubted(place: Candidate, times: int = 1, now: float = START) -> Candidate:
    """`place` with its share halved so many times."""
    for _ in range(times):
        place.load.standing.doubted(now)
    return place
