"""What this replica makes of the siblings' picture: one synchronous step, and memory is up to date.

Routing goes on reading memory; nothing on a request's way knows that there are siblings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from router.core.breaker import Breaker
from router.core.limits import Meter
from router.core.load import BackendLoad
from router.core.part import Part
from router.state.exchange import Cooldown, Picture, Sample, Use
from router.state.memory import MemoryStore

TOLERANCE = 0.02
"""Seconds by which a later end must be later: what a message takes on its way is no news."""
_UNUSED = Use()


class Hearing:
    """Keeps what was last heard of the siblings' use, for subjects that are met later."""

    def __init__(self, store: MemoryStore, news: Callable[[], None] | None = None) -> None:
        """`news` is called when so much of a limit is taken that the siblings should hear of it."""
        self._store = store
        self._news = news
        self._uses: Mapping[str, Use] = {}
        self._live = 1
        self._alone = True
        store.part_of = self._part_of
        for subject, meter in self._meters():
            meter.part = self._part_of(subject)

    def hear(self, picture: Picture, live: int, now: float) -> None:
        """`live` is how many replicas share the limits."""
        self._uses, self._alone = picture.uses, False
        self._live = self._store.live = live
        self._store.heard_at = now
        for subject, meter in self._meters():
            part = meter.part = meter.part or self._part_of(subject)
            use = picture.uses.get(subject, _UNUSED)
            part.traded(meter, now, live, use.requests, use.tokens, use.in_flight)
        for backend, load in self._store.loads.items():
            load.siblings = picture.uses.get(backend, _UNUSED).in_flight
        for cooldown in picture.cooldowns:
            self.cool(cooldown, now)
        self._breakers(picture, now)
        for backend, samples in picture.samples.items():
            load_ = self._store.loads.get(backend)
            if load_ is not None:
                _measure(load_, samples, now)

    def lost(self, live: int) -> None:
        """Nobody can be heard: limits are kept by parts, and the rest of the picture stays as it is."""
        self._live, self._alone = live, True
        for _, meter in self._meters():
            if meter.part is not None:
                meter.part.live, meter.part.alone = live, True

    def forget(self) -> None:
        """Nobody could be heard for so long that nothing is left of what siblings had under way."""
        self._uses = {}
        for load in self._store.loads.values():
            load.siblings = 0

    def cool(self, cooldown: Cooldown, now: float) -> None:
        """Upstream told a sibling to leave it alone."""
        load = self._store.loads.get(cooldown.backend)
        if load is None:
            return
        until = now + cooldown.seconds
        if cooldown.key is None:
            load.breaker.hear_open(now, until)
        elif cooldown.key < len(load.keys):
            key = load.keys[cooldown.key]
            if until > key.until + TOLERANCE:
                key.hear(until, cooldown.refused)

    def _breakers(self, picture: Picture, now: float) -> None:
        for backend, seconds in picture.openings.items():
            load = self._store.loads.get(backend)
            if load is not None and self._may_open(backend, load.breaker):
                load.breaker.hear_open(now, now + seconds)
        for backend, ago in picture.recovered.items():
            load = self._store.loads.get(backend)
            if load is not None and load.breaker.hear_recovered(now, now - ago):
                load.standing.recovered(now)
        for backend, seconds in picture.held.items():
            load = self._store.loads.get(backend)
            if load is not None:
                load.breaker.trial_from = now + seconds

    def _may_open(self, backend: str, breaker: Breaker) -> bool:
        """Siblings never take the last closed backend of a group."""
        return breaker.open_until is not None or not any(
            self._store.routes.is_last_closed(group, backend) for group in self._groups_of(backend)
        )

    def _groups_of(self, backend: str) -> set[str]:
        return {each.deployment.model_name for each in self._store.candidates() if each.deployment.backend == backend}

    def _part_of(self, subject: str) -> Part:
        part = Part(self._live, alone=self._alone, news=self._news)
        use = self._uses.get(subject, _UNUSED)
        part.in_flight, part.requests, part.tokens = use.in_flight, use.requests, use.tokens
        return part

    def _meters(self) -> Iterator[tuple[str, Meter]]:
        yield from self._store.meters.items()
        for backend, load in self._store.loads.items():
            if load.meter is not None:
                yield backend, load.meter


def _measure(load: BackendLoad, samples: Sequence[Sample], now: float) -> None:
    for first_token, whole in samples:
        if first_token is not None:
            load.latency.hear_streamed(now, *first_token)
        if whole is not None:
            load.latency.hear_replied(now, *whole)
