"""The load picture of one process."""

from __future__ import annotations

from collections.abc import Iterator

from router.core.catalogue import Catalogue
from router.core.clock import Clock
from router.core.errors import FailureKind
from router.core.events import Cooled, Observer, Recovered
from router.core.load import BackendLoad, Candidate, Snapshot
from router.core.retry import Health
from router.core.types import Deployment, Estimate, ModelGroup
from router.state.base import Lease, Outcome


class MemoryStore:
    """Keyed by backend: one upstream under two names is one load, and survives reordering and reload."""

    def __init__(self, clock: Clock, observer: Observer) -> None:
        self._clock = clock
        self._observer = observer
        self._loads: dict[str, BackendLoad] = {}
        self._tiers: dict[str, tuple[tuple[Candidate, ...], ...]] = {}
        self._turns: dict[str, float] = {}

    def configure(self, catalogue: Catalogue) -> None:
        old, self._loads = self._loads, {}
        groups = [*catalogue.groups.values(), *catalogue.wildcards]
        for group in groups:
            for tier in group.tiers:
                for deployment in tier:
                    self._loads.setdefault(
                        deployment.backend, old.get(deployment.backend) or BackendLoad(len(deployment.api_keys))
                    )
        self._tiers = {group.name: self._bind(group) for group in groups}

    def view(self) -> Snapshot:
        return Snapshot(self._clock(), self._tiers, self._turns)

    def candidates(self) -> Iterator[Candidate]:
        """Every deployment with its load, group by group: what status and metrics show."""
        for tiers in self._tiers.values():
            for tier in tiers:
                yield from tier

    def acquire(self, group: ModelGroup, candidate: Candidate, estimate: Estimate) -> Lease:
        deployment, load = candidate
        now = self._clock()
        load.in_flight += 1
        virtual = self._turns.get(deployment.model_name, 0.0)
        start = max(load.turn, virtual)
        self._turns[deployment.model_name] = start
        load.turn = start + 1.0 / deployment.weight
        trial = load.breaker.start(now)
        keys = deployment.api_keys
        if not keys:
            return Lease(group, candidate, "", 0, trial)
        index = load.usable_key(now) or 0
        load.next_key = (index + 1) % len(keys)
        return Lease(group, candidate, keys[index], index, trial)

    def settle(self, lease: Lease, outcome: Outcome) -> None:
        if lease.settled:
            raise RuntimeError(f"the lease on {lease.deployment.id} is settled already")
        lease.settled = True
        load = lease.load
        load.in_flight -= 1
        if outcome.health is Health.NONE:
            self._settle_unharmed(lease, outcome)
        else:
            self._settle_failed(lease, outcome)

    async def run(self) -> None:
        """One process has no siblings: there is nothing to exchange."""

    def _settle_unharmed(self, lease: Lease, outcome: Outcome) -> None:
        load = lease.load
        if not outcome.told:
            if lease.trial:
                load.breaker.abandon_trial()
            return
        load.keys[lease.key_index].streak = 0
        if load.breaker.succeeded(self._clock(), lease.group.policy.cooldown, lease.trial):
            self._observer(Recovered(lease.deployment.id))

    def _settle_failed(self, lease: Lease, outcome: Outcome) -> None:
        load, deployment, policy = lease.load, lease.deployment, lease.group.policy.cooldown
        breaker = load.breaker
        now = self._clock()
        health, kind = outcome.health, outcome.kind or FailureKind.SERVER_ERROR
        if health is Health.COOL_KEY or health is Health.COOL_KEY_LONG:
            wanted = outcome.retry_after if health is Health.COOL_KEY else policy.max
            key = load.keys[lease.key_index]
            seconds = key.cool(now, wanted, policy.max)
            key.refused = health is Health.COOL_KEY_LONG
            if lease.trial:
                breaker.abandon_trial()
            self._observer(Cooled(deployment.id, kind, seconds, lease.key_index))
            return
        if health is Health.COOL_DEPLOYMENT_LONG:
            breaker.cool(now, now + policy.max, policy)
            if lease.trial:
                breaker.abandon_trial()
            self._observer(Cooled(deployment.id, kind, policy.max, None))
            return
        if not outcome.counts:
            if lease.trial:
                breaker.abandon_trial()
            if outcome.retry_after and breaker.open_until is not None:
                breaker.cool(now, now + min(outcome.retry_after, policy.max), policy)
            return
        opened = breaker.failed(
            now,
            policy,
            lease.trial,
            connection=health is Health.CONNECTION_FAILURE,
            spare=self._is_last_closed(lease.group, deployment),
        )
        if outcome.retry_after:
            opened = breaker.cool(now, now + min(outcome.retry_after, policy.max), policy) or opened
        if opened:
            self._observer(Cooled(deployment.id, kind, (breaker.open_until or now) - now, None))

    def _is_last_closed(self, group: ModelGroup, deployment: Deployment) -> bool:
        return not any(
            candidate.load.breaker.open_until is None
            for tier in self._tiers.get(group.name, ())
            for candidate in tier
            if candidate.deployment.enabled and candidate.deployment.backend != deployment.backend
        )

    def _bind(self, group: ModelGroup) -> tuple[tuple[Candidate, ...], ...]:
        return tuple(
            tuple(Candidate(deployment, self._loads[deployment.backend]) for deployment in tier) for tier in group.tiers
        )
