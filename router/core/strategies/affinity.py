"""Where the prompt's beginning should be in the provider's cache."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf, log
from random import Random

from router.core.hashing import hash_of, mix, part_of_one
from router.core.load import Candidate, Snapshot
from router.core.share import effective_weight, share
from router.core.strategies.base import LOOKS, Fit, Weighed, is_large
from router.core.strategies.least_busy import LeastBusy
from router.core.tier import LARGE, Tier
from router.core.types import RouteRequest

BOUND = 1.25
"""No deployment gets more than this many times its part of what is under way."""
NEIGHBOURS = 8
"""Of a large tier, so many candidates are considered for one key; their mean stands for everyone's."""
_LEAST_BUSY = LeastBusy()


class Affinity:
    """The first in the key's own order that has room: in-flight + 1 ≤ ⌈1.25 × its part by weight of all in flight + 1⌉.

    The order is that of −ln(hash(key, backend)) / (weight × share), lowest first, so each key keeps its deployment
    while others come and go, and each deployment gets keys by its weight. In a large tier it is the order on a ring of
    hashes, from the key on, and room is made among the next 8. Every replica finds the same without talking. Keys: see
    `RouteRequest.affinity`; a request without one goes where it is least busy.

    Sources: rendezvous hashing (Thaler and Ravishankar, 1998) with weights (Schindelhauer and Schomaker, 2005); bounded
    loads (Mirrokni, Thorup and Zadimoghaddam, 2018); consistent hashing (Karger et al., 1997). Needs in-flight counts.
    Wrong where nothing is cached, and where one key makes most of the traffic: it then overflows to the next in order.
    """

    def choose(
        self,
        request: RouteRequest,
        candidates: Sequence[Candidate],
        view: Snapshot,
        rng: Random,
        *,
        large: bool = False,
    ) -> Candidate | None:
        if request.affinity is None:
            return _LEAST_BUSY.choose(request, candidates, view, rng, large=large)
        if not candidates:
            return None
        key = hash_of(request.affinity())
        if large or len(candidates) > LARGE:
            return next_with_room(neighbours_among(key, candidates, view), view.now)
        return _one_of(first_with_room(key, candidates, view.now), rng)

    def draw(self, request: RouteRequest, tier: Tier, view: Snapshot, rng: Random, fit: Fit) -> Candidate | None:
        if request.affinity is None:
            return _LEAST_BUSY.draw(request, tier, view, rng, fit)
        near = neighbours(hash_of(request.affinity()), tier, view.now, fit, LOOKS)
        return next_with_room(near, view.now) if len(near) == NEIGHBOURS else None

    def weigh(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> Sequence[Weighed]:
        if request.affinity is None:
            return _LEAST_BUSY.weigh(request, candidates, view)
        if not candidates:
            return ()
        now, key = view.now, hash_of(request.affinity())
        if is_large(candidates, view):
            near: Sequence[Candidate] = neighbours_among(key, candidates, view)
            places = {id(candidate): float(place) for place, candidate in enumerate(near)}
            scores = [places.get(id(candidate), inf) for candidate in candidates]
            chosen = [next_with_room(near, now)]
        else:
            near = candidates
            scores = [distance(key, candidate, now) for candidate in candidates]
            chosen = first_with_room(key, candidates, now)
        room = {id(candidate): most for candidate, most in zip(near, capacities(near, now), strict=True)}
        return [
            Weighed(
                candidate,
                score,
                sum(candidate is one for one in chosen) / len(chosen),
                {
                    "in_flight": candidate.load.in_flight,
                    "siblings": candidate.load.siblings,
                    "capacity": room.get(id(candidate)),
                    "weight": candidate.deployment.weight,
                    "share": share(candidate, now),
                },
            )
            for candidate, score in zip(candidates, scores, strict=True)
        ]


def distance(key: int, candidate: Candidate, now: float) -> float:
    """How far down the key's order `candidate` stands."""
    return -log(1.0 - part_of_one(key) * candidate.stretch % 1.0) / effective_weight(candidate, now)


def capacities(candidates: Sequence[Candidate], now: float) -> list[int]:
    """How many requests each may have under way, the one to come included."""
    weights, under_way = [], 1
    for candidate in candidates:
        under_way += candidate.load.in_flight + candidate.load.siblings
        weights.append(effective_weight(candidate, now))
    each = BOUND * under_way / sum(weights)
    return [ceil(each * weight) for weight in weights]


def first_with_room(key: int, candidates: Sequence[Candidate], now: float) -> list[Candidate]:
    """The first in the key's order that has room, which somebody always has: more than is under way fits in all.
    Several only where one backend is listed more than once."""
    part, under_way, weights = part_of_one(key), 1, 0.0
    nearest, own = inf, 0.0
    first: list[Candidate] = []
    # `effective_weight`, `distance` and `capacities`, written out and in one pass: every request with a key asks this
    # of every candidate, and nearly always finds room in the first.
    for candidate in candidates:
        load = candidate.load
        weight, standing = candidate.deployment.weight, load.standing
        if now < standing.whole_at:
            weight *= standing.share(now)
        under_way += load.in_flight + load.siblings
        weights += weight
        far = -log(1.0 - part * candidate.stretch % 1.0) / weight
        if far < nearest:
            nearest, own, first = far, weight, [candidate]
        elif far == nearest:
            first.append(candidate)
    load = first[0].load
    if load.in_flight + load.siblings < ceil(BOUND * under_way / weights * own):
        return first
    return _open_with_room(key, candidates, now)


def _open_with_room(key: int, candidates: Sequence[Candidate], now: float) -> list[Candidate]:
    """The same where the very first is full."""
    open_ = [
        candidate
        for candidate, most in zip(candidates, capacities(candidates, now), strict=True)
        if candidate.load.in_flight + candidate.load.siblings < most
    ]
    distances = [distance(key, candidate, now) for candidate in open_]
    nearest = min(distances)
    return [candidate for candidate, far in zip(open_, distances, strict=True) if far == nearest]


def neighbours(key: int, tier: Tier, now: float, fit: Fit, looks: int, most: int = NEIGHBOURS) -> list[Candidate]:
    """Of a large tier, the first fit ones on the ring, after at most so many looks. Whose share is lowered is passed
    over by a part of the keys, always the same, and comes after the others."""
    seen: set[int] = set()
    near: list[Candidate] = []
    later: list[Candidate] = []
    for candidate in tier.around(key):
        if id(candidate) in seen:
            continue
        if len(seen) == looks or len(near) + len(later) == most:
            break
        seen.add(id(candidate))
        if fit(candidate):
            part = share(candidate, now)
            taken = part == 1.0 or part_of_one(mix(key ^ candidate.deployment.place)) < part
            (near if taken else later).append(candidate)
    return near + later


def neighbours_among(key: int, candidates: Sequence[Candidate], view: Snapshot) -> list[Candidate]:
    """The same where those that are fit are known."""
    tier = view.tier_of(candidates[0]) or candidates
    fit = {id(candidate) for candidate in candidates}
    return neighbours(key, Tier.of(tier), view.now, lambda candidate: id(candidate) in fit, len(tier))


def next_with_room(near: Sequence[Candidate], now: float) -> Candidate:
    for candidate, most in zip(near, capacities(near, now), strict=True):
        if candidate.load.in_flight + candidate.load.siblings < most:
            return candidate
    return near[0]


def _one_of(candidates: Sequence[Candidate], rng: Random) -> Candidate:
    return candidates[0] if len(candidates) == 1 else candidates[int(rng.random() * len(candidates))]
