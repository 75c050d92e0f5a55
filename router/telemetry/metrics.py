"""The subscriber that counts.

What happens for every request is counted in cells that were looked up once, when their labels were first met; what
happens now and then is looked up each time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import TypeVar

from router.core.events import (
    Attempted,
    Cooled,
    FellBack,
    Finished,
    Hedged,
    Probed,
    Queued,
    Recovered,
    Rejected,
    RetryDenied,
)
from router.core.types import Usage
from router.telemetry.bound import Client, Served, Tried
from router.telemetry.bus import EventBus
from router.telemetry.cells import MOST_CELLS, Family, Labels, Snapshot
from router.telemetry.exposition import expose, in_slices
from router.telemetry.table import ATTEMPT_SECONDS, OWN_SECONDS, SECONDS, TOKEN_SECONDS

K = TypeVar("K")
V = TypeVar("V")
Sample = tuple[str, Labels, float]
Source = Callable[[], Iterable[Sample]]
"""Numbers that somebody else keeps, read at every scrape: (name in the table, label values, value)."""

_STATUSES = frozenset({200, 400, 401, 403, 404, 408, 409, 413, 422, 429, 499, 500, 502, 503, 504})
_PARTS = ("cached", "cache_write", "input_audio", "reasoning", "output_audio")
"""The types of tokens that are parts of the others, in the order of `Usage`."""
_PLAIN = Usage(0, 0)[2:]


class Metrics:
    """What this process has counted."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._sources: list[Source] = []
        self._served: dict[tuple[str, str, str], Served] = {}
        self._tried: dict[tuple[str, str], Tried] = {}
        self._clients: dict[tuple[str, str], Client] = {}
        self._requests = self.family("router_requests_total")
        self._attempts = self.family("router_attempts_total")
        self._rejected = self.family("router_candidates_rejected_total")
        self._retries_denied = self.family("router_retries_denied_total")
        self._probes = self.family("router_probes_total")
        self._hedges = self.family("router_hedges_total")
        self._costs = self.family("router_cost_usd_total")
        self._fallbacks = self.family("router_fallbacks_total")
        self._cooldowns = self.family("router_cooldowns_total")
        self._recoveries = self.family("router_recoveries_total")
        self._tokens = self.family("router_tokens_total")
        self._estimated = self.family("router_usage_estimated_total")
        self._unpriced = self.family("router_cost_unknown_total")
        self._queue_left = self.family("router_queue_left_total")
        self._queue_wait = self.family("router_queue_wait_seconds")

    def family(self, name: str) -> Family:
        """The cells of one metric of the table, for whoever counts by itself. Raises KeyError for an unknown one."""
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = Family(name)
        return family

    def read(self, source: Source) -> None:
        """Ask `source` at every scrape."""
        self._sources.append(source)

    def listen(self, bus: EventBus) -> None:
        bus.on(Finished, self._finished)
        bus.on(Attempted, self._attempted)
        bus.on(Rejected, lambda event: self._rejected.add((event.group, event.reason.value)))
        bus.on(RetryDenied, lambda event: self._retries_denied.add((event.group,)))
        bus.on(Probed, lambda event: self._probes.add((event.deployment, event.outcome)))
        bus.on(Hedged, self._hedged)
        bus.on(FellBack, lambda event: self._fallbacks.add((event.group, event.to, event.kind.value)))
        bus.on(Cooled, lambda event: self._cooldowns.add((event.deployment, event.reason.value)))
        bus.on(Recovered, lambda event: self._recoveries.add((event.deployment,)))
        bus.on(Queued, self._queued)

    def counted(self) -> Snapshot:
        """What is counted here, without the sources. The cells are the live ones: copy or send them at once."""
        return {name: dict(family.cells) for name, family in self._families.items()}

    async def ask_sources(self) -> Snapshot:
        """What the sources say now, collected in slices."""
        found: Snapshot = {}

        def take(sample: Sample) -> None:
            name, labels, value = sample
            found.setdefault(name, {})[labels] = [value]

        for source in self._sources:
            await in_slices(source(), take)
        return found

    async def snapshot(self) -> Snapshot:
        """Everything as it is now: see `counted`. A source may add to what is counted here under the same name."""
        found = self.counted()
        for name, cells in (await self.ask_sources()).items():
            found.setdefault(name, {}).update(cells)
        return found

    async def expose(self) -> bytes:
        """Everything, in Prometheus' text format, written in slices."""
        return await expose(await self.snapshot())

    def _finished(self, event: Finished) -> None:
        served = self._served.get((event.kind, event.model, event.deployment))
        if served is None:
            served = Served(self.family, event)
            _remember(self._served, (event.kind, event.model, event.deployment), served)
        status, outcome, duration = event.status, event.outcome, event.duration
        if status == 200 and outcome == "ok":
            served.ok[0] += 1.0
        else:
            told = str(status) if status in _STATUSES else f"{status // 100}xx"
            self._requests.add((event.model, event.kind, told, outcome))
        cell = served.duration
        cell[bisect_left(SECONDS, duration)] += 1.0
        cell[-1] += duration
        if event.attempts:
            own = max(duration - event.upstream - event.waited, 0.0)
            cell = served.overhead
            cell[bisect_left(OWN_SECONDS, own)] += 1.0
            cell[-1] += own
        usage, first_token = event.usage, event.first_token
        if first_token is not None:
            stream = served.stream or served.streams()
            cell = stream.first_token
            cell[bisect_left(SECONDS, first_token)] += 1.0
            cell[-1] += first_token
            if usage is not None and usage.completion_tokens > 1 and outcome == "ok":
                each = (event.last_attempt - first_token) / (usage.completion_tokens - 1)
                cell = stream.per_token
                cell[bisect_left(TOKEN_SECONDS, each)] += 1.0
                cell[-1] += each
        if usage is not None:
            (served.tokens or served.counts_tokens()).count(usage.prompt_tokens, usage.completion_tokens)
            if usage[2:] != _PLAIN:
                self._in_parts(event, usage)
            if event.cost is None:
                self._unpriced.add((event.served_by, event.deployment))
        if event.cost is not None:
            (served.cost or served.costs())[0] += event.cost - event.hedge_cost
        if event.key:
            client = self._clients.get((event.key, event.team))
            if client is None:
                client = Client(self.family, event.key, event.team)
                _remember(self._clients, (event.key, event.team), client)
            client.count(outcome, usage, event.cost)

    def _in_parts(self, event: Finished, usage: Usage) -> None:
        """What not every usage has: kinds of tokens, and that it is an estimate."""
        place = (event.served_by, event.deployment)
        for kind, tokens in zip(_PARTS, usage[2:], strict=False):
            if tokens:
                self._tokens.add((*place, kind), tokens)
        if usage.estimated:
            self._estimated.add(place)

    def _attempted(self, event: Attempted) -> None:
        tried = self._tried.get((event.group, event.deployment))
        if tried is None:
            tried = Tried(self.family, event)
            _remember(self._tried, (event.group, event.deployment), tried)
        if event.outcome == "ok":
            tried.ok[0] += 1.0
        else:
            self._attempts.add((event.group, event.deployment, event.outcome))
        duration, selection = event.duration, event.selection
        cell = tried.duration
        cell[bisect_left(ATTEMPT_SECONDS, duration)] += 1.0
        cell[-1] += duration
        cell = tried.selection
        cell[bisect_left(OWN_SECONDS, selection)] += 1.0
        cell[-1] += selection

    def _hedged(self, event: Hedged) -> None:
        self._hedges.add((event.group, event.outcome))
        if event.cost is not None:
            self._costs.add((event.group, event.outrun), event.cost)

    def _queued(self, event: Queued) -> None:
        self._queue_left.add((event.group, event.outcome))
        self._queue_wait.observe((event.group,), event.waited)


def _remember(known: dict[K, V], place: K, bound: V) -> None:
    """A bound for what is remembered; cells that were bound once can be bound again."""
    if len(known) >= MOST_CELLS:
        known.clear()
    known[place] = bound
