"""What this replica tells its siblings of the picture in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from router.core.breaker import SEEN_FOR
from router.core.latency import Slowest
from router.core.limits import Meter
from router.state.exchange import AGES, Ages, Failing, Sample, Use
from router.state.memory import MemoryStore


def uses(store: MemoryStore, now: float) -> dict[str, Use]:
    """What is in use of every subject that has anything in use."""
    found = {}
    for subject, load in store.loads.items():
        use = _use(load.in_flight, load.meter, now)
        if any(use):
            found[subject] = use
    for subject, meter in store.meters.items():
        use = _use(meter.in_flight, meter, now)
        if any(use):
            found[subject] = use
    return found


def ages(store: MemoryStore, now: float) -> dict[str, Ages]:
    """When what is counted for limits came."""
    found = {}
    for subject, meter in _meters(store):
        requests, tokens = meter.requests, meter.tokens
        told = Ages(
            () if requests is None or not requests.total(now) else requests.by_age(now, AGES),
            () if tokens is None or not tokens.total(now) else tokens.by_age(now, AGES),
        )
        if any(told):
            found[subject] = told
    return found


def failing(store: MemoryStore, now: float) -> dict[str, Failing]:
    """The backends that this replica itself has seen fail, and has not seen recover."""
    found = {}
    for backend, load in store.loads.items():
        breaker = load.breaker
        if breaker.seen and (breaker.open_until is not None or now - breaker.failed_at < SEEN_FOR):
            found[backend] = Failing(max(breaker.own_until - now, 0.0), now - breaker.failed_at)
    return found


def trials(store: MemoryStore, now: float, ahead: float, wanted: Collection[str]) -> dict[str, bool]:
    """Half-open backends, or those within `ahead` seconds of it: whether a trial is under way, else those `wanted`."""
    found = {}
    for backend, load in store.loads.items():
        breaker = load.breaker
        if breaker.open_until is not None and breaker.open_until - now < ahead:
            if breaker.trial:
                found[backend] = True
            elif backend in wanted:
                found[backend] = False
    return found


def samples(store: MemoryStore) -> dict[str, Sample]:
    """The slowest of what was measured since the last time. From the first time on it is kept."""
    found = {}
    for backend, load in store.loads.items():
        own = load.latency.own
        if own is None:
            load.latency.own = Slowest()
        elif own.seen:
            found[backend] = Sample(*own.take())
    return found


def _use(in_flight: int, meter: Meter | None, now: float) -> Use:
    if meter is None:
        return Use(in_flight)
    requests = 0 if meter.requests is None else meter.requests.total(now)
    tokens = 0 if meter.tokens is None else meter.tokens.total(now)
    if meter.part is None:
        return Use(in_flight, requests, tokens)
    return Use(in_flight, requests, tokens, *meter.part.claims())


def _meters(store: MemoryStore) -> Iterator[tuple[str, Meter]]:
    yield from store.meters.items()
    for subject, load in store.loads.items():
        if load.meter is not None:
            yield subject, load.meter
