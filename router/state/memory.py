"""The load picture of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from router.core.budget import Spending
from router.core.catalogue import Catalogue
from router.core.clock import Clock
from router.core.errors import FailureKind
from router.core.estimators import Correction, Ewma
from router.core.events import Cooled, Observer, Recovered
from router.core.hedging import Hedges
from router.core.limits import Admission, Meter, Reservation, Spent, spent_by
from router.core.load import BackendLoad, Candidate, Snapshot
from router.core.part import Part
from router.core.quota import NOTHING_SENT, Allowances, Quota
from router.core.retry import BREAKER_FAILURES, Health
from router.core.retry_budget import Draw, RetryBudget
from router.core.routes import NO_ROUTES, Routes, bind
from router.core.share import effective_weight
from router.core.standing import GRAY_FAILURES
from router.core.types import Deployment, Estimate, LimitSubject, ModelGroup, Usage
from router.state.base import CLIENT_GONE, Lease, Outcome, Served
from router.state.strict import StrictLimits

REMEMBERED = 300.0
"""Seconds for which a backend that a reload has dropped is remembered, should another bring it back; for as long as
requests are under way there, in any case."""
OUTPUT_SAMPLES = 50.0
"""A model's usual output is a mean over about so many of its last replies."""


class MemoryStore:
    """Keyed by backend: one upstream under two names is one load, and survives reordering and reload."""

    def __init__(self, clock: Clock, observer: Observer, wall_clock: Clock | None = None) -> None:
        """`wall_clock` gives seconds since 1970, for the periods of budgets; left out, those follow `clock`."""
        self.routes = NO_ROUTES
        self._clock = clock
        self._wall_clock = wall_clock or clock
        self._observer = observer
        self._dropped: dict[str, tuple[float, BackendLoad]] = {}
        self._turns: dict[str, float] = {}
        self._outputs: dict[str, Ewma] = {}
        self._cached: dict[str, Ewma] = {}
        self._prompts: dict[str, Correction] = {}
        self._meters: dict[str, Meter] = {}
        self._budgets: dict[str, RetryBudget] = {}
        self._hedges: dict[str, Hedges] = {}
        self.part_of: Callable[[str], Part] | None = None
        """Makes this replica's part of a subject's limits, by its name; None: there are no siblings."""
        self.live = 1
        """Replicas at work, this one included."""
        self.heard_at = float("-inf")
        """When the others were last heard, in clock seconds."""
        self.strict: StrictLimits | None = None
        self._spending: dict[str, Spending] = {}

    def prepare(self, catalogue: Catalogue) -> Routes:
        dropped = {backend: load for backend, (_, load) in self._dropped.items()}
        return bind(catalogue, self.routes, {**dropped, **self.routes.loads})

    def adopt(self, routes: Routes) -> None:
        now, loads = self._clock(), routes.loads
        dropped = {backend: (now, load) for backend, load in self.routes.loads.items() if backend not in loads}
        dropped |= self._dropped
        self._dropped = {
            backend: (since, load)
            for backend, (since, load) in dropped.items()
            if backend not in loads and (now - since < REMEMBERED or load.in_flight)
        }
        self.routes = routes
        self._budgets = {name: self._budgets.get(name) or RetryBudget() for name in routes.policies}
        hedging = [name for name, policy in routes.policies.items() if policy.hedging is not None]
        self._hedges = {name: self._hedges.get(name) or Hedges() for name in hedging}
        self._count_for(routes)

    def configure(self, catalogue: Catalogue) -> None:
        self.adopt(self.prepare(catalogue))

    def view(self, routes: Routes | None = None) -> Snapshot:
        if routes is None:
            routes = self.routes
        return Snapshot(
            self._clock(), routes.tiers, self._turns, self._outputs, self._cached, routes.policies, self._budgets,
            self.live, self.heard_at, self._hedges, self._prompts,
        )  # fmt: skip

    def candidates(self) -> Iterator[Candidate]:
        """Every deployment with its load, group by group: what status and metrics show."""
        for tiers in self.routes.tiers.values():
            for tier in tiers:
                yield from tier

    @property
    def loads(self) -> Mapping[str, BackendLoad]:
        """By backend."""
        return self.routes.loads

    @property
    def meters(self) -> Mapping[str, Meter]:
        """Those of clients' keys, by subject."""
        return self._meters

    @property
    def spending(self) -> Mapping[str, Spending]:
        """Of those with a budget, by subject."""
        return self._spending

    def admit(self, subject: LimitSubject, estimate: Estimate) -> Admission:
        return self._meter_of(subject).admit(subject.limits, self._clock(), estimate.total)

    def left(self, subject: LimitSubject) -> Allowances:
        return self._meter_of(subject).left(subject.limits, self._clock())

    def release(self, reservation: Reservation, spent: Spent, usage: Usage | None) -> None:
        reservation.settle(spent, usage)

    def broke(self, subject: LimitSubject, *, begun: bool) -> float | None:
        budget = subject.budget
        return None if budget is None else self._spending_of(subject).wait(budget, self._wall_clock(), begun=begun)

    def hold(self, subject: LimitSubject, dollars: float) -> None:
        self._spending_of(subject).hold(dollars)

    def pay(self, subject: LimitSubject, held: float, dollars: float) -> None:
        if subject.budget is not None:
            self._spending_of(subject).pay(subject.budget, self._wall_clock(), held, dollars)

    def heard(self, lease: Lease, word: Allowances) -> None:
        key = lease.load.keys[lease.key_index]
        if key.quota is None:
            key.quota = Quota()
            lease.load.heard = True
        key.quota.heard(self._clock(), word, lease.mark)

    def acquire(
        self,
        group: ModelGroup,
        candidate: Candidate,
        estimate: Estimate,
        draw: Draw = Draw.REQUEST,
        stream: bool = False,
    ) -> Lease:
        deployment, load = candidate.deployment, candidate.load
        now = self._clock()
        budget = self._budgets.get(group.name)
        if budget is not None:  # a reload may have dropped the group
            budget.note(now, draw)
        load.in_flight += 1
        virtual = self._turns.get(deployment.model_name, 0.0)
        start = max(load.turns.get(deployment.model_name, 0.0), virtual)
        self._turns[deployment.model_name] = start
        load.turns[deployment.model_name] = start + 1.0 / effective_weight(candidate, now)
        load.outstanding += estimate.total
        trial = load.breaker.start(now)
        keys = load.api_keys
        if keys:
            index = load.usable_key(now) or 0
            load.next_key = (index + 1) % len(keys)
            lease = Lease(group, candidate, estimate, keys[index], index, trial)
        else:
            lease = Lease(group, candidate, estimate, "", 0, trial)
        key = load.keys[lease.key_index]
        if key.streak:
            lease.key_trial = key.attempt(now)
        if load.meter is not None:
            lease.reservation = load.meter.reserve(now, estimate.total)
        if load.heard:
            lease.mark = NOTHING_SENT if key.quota is None else key.quota.sent(estimate.total)
        if stream:
            lease.waiting, lease.sent_at = True, now
            lease.ahead = load.backlog.sent(load.in_flight + load.siblings)
        return lease

    def settle(self, lease: Lease, outcome: Outcome) -> None:
        if lease.settled:
            raise RuntimeError(f"the lease on {lease.deployment.id} is settled already")
        lease.settled = True
        load = lease.load
        load.in_flight -= 1
        load.outstanding -= lease.outstanding
        if lease.waiting:
            lease.waiting = False
            load.backlog.gone()
        if lease.reservation is not None:
            usage = None if outcome.served is None else outcome.served.usage
            lease.reservation.settle(outcome.spent or spent_by(outcome.kind), usage)
        if lease.key_trial:
            well, sent = outcome.told and outcome.health is Health.NONE, outcome.spent is not Spent.NOTHING
            lease.end_key_trial(self._clock(), well=well, sent=sent)
        if outcome.health is Health.NONE:
            self._settle_unharmed(lease, outcome)
        elif outcome.kind is FailureKind.FIRST_TOKEN_TIMEOUT and load.backlog.in_turn(lease.sent_at, self._clock()):
            self._settle_unharmed(lease, CLIENT_GONE)  # busy, not broken: it had not come to this one
        else:
            self._settle_failed(lease, outcome)

    def probed(self, deployment: Deployment, failure: FailureKind | None, hold: float) -> bool:
        load, policy = self.routes.loads.get(deployment.backend), self.routes.policies.get(deployment.model_name)
        if load is None or policy is None:  # a reload has dropped it
            return False
        now, breaker = self._clock(), load.breaker
        if failure is None and breaker.probe_succeeded(now):
            load.standing.recovered(now)
            self._observer(Recovered(deployment.id))
        elif failure is not None and breaker.probe_failed(now, policy.cooldown, hold):
            self._observer(Cooled(deployment.id, failure, (breaker.open_until or now) - now, None))
        return breaker.open_until is None

    def _settle_unharmed(self, lease: Lease, outcome: Outcome) -> None:
        load = lease.load
        if not outcome.told:
            if lease.trial:
                load.breaker.abandon_trial()
            if lease.outrun is not None:
                if not lease.ahead:  # of one that queued, its queue is known already
                    load.latency.outlasted(self._clock(), lease.estimate.prompt_tokens, lease.outrun)
                self._began(lease.group, lease.outrun)
            return
        now = self._clock()
        load.succeeded_at = now
        if outcome.served is not None:
            self._measure(lease, outcome.served, now)
        if load.breaker.succeeded(now, lease.group.policy.cooldown, lease.trial):
            load.standing.recovered(now)
            self._observer(Recovered(lease.deployment.id))

    def _measure(self, lease: Lease, served: Served, now: float) -> None:
        usage, load = served.usage, lease.load
        if served.first_token is not None:
            if lease.group.policy.hedging is not None:
                self._began(lease.group, served.first_token)
            if usage is not None:
                load.standing.streamed(now, usage.completion_tokens, served.duration - served.first_token)
        elif usage is not None:
            load.latency.replied(now, usage.completion_tokens, served.duration)
            load.standing.replied(now, usage.completion_tokens, served.duration)
        if usage is not None:
            name = lease.deployment.model_name
            output, cached = self._outputs.get(name), self._cached.get(name)
            if output is None or cached is None:
                output, cached = self._outputs[name], self._cached[name] = Ewma(OUTPUT_SAMPLES), Ewma(OUTPUT_SAMPLES)
            self._prompts.setdefault(name, Correction()).add(lease.estimate.prompt_tokens, usage.prompt_tokens)
            output.add(usage.completion_tokens)
            cached.add(usage.cached_tokens / max(usage.prompt_tokens, 1))

    def _began(self, group: ModelGroup, seconds: float) -> None:
        hedges = self._hedges.get(group.name)
        if hedges is not None:
            hedges.add(seconds)

    def _settle_failed(self, lease: Lease, outcome: Outcome) -> None:
        load, deployment, policy = lease.load, lease.deployment, lease.group.policy.cooldown
        breaker = load.breaker
        now = self._clock()
        health, kind = outcome.health, outcome.kind or FailureKind.SERVER_ERROR
        load.latency.failed(now, outcome.retry_after)
        if outcome.counts and kind in GRAY_FAILURES:
            load.standing.doubted(now)
        if lease.trial and (not outcome.counts or health not in BREAKER_FAILURES):
            breaker.abandon_trial()
        if health is Health.COOL_KEY or health is Health.COOL_KEY_LONG:
            wanted = outcome.retry_after if health is Health.COOL_KEY else policy.max
            key = load.keys[lease.key_index]
            seconds = key.cool(now, wanted, policy.max)
            key.refused = health is Health.COOL_KEY_LONG
            position = deployment.api_keys.index(lease.key) if lease.key else 0
            self._observer(Cooled(deployment.id, kind, seconds, position, lease.key_index))
            return
        if health is Health.COOL_DEPLOYMENT_LONG:
            breaker.cool(now, now + policy.max, policy)
            self._observer(Cooled(deployment.id, kind, policy.max, None))
            return
        if not outcome.counts:
            if outcome.retry_after and breaker.open_until is not None:
                breaker.cool(now, now + min(outcome.retry_after, policy.max), policy)
            return
        opened = breaker.failed(
            now,
            policy,
            lease.trial,
            connection=health is Health.CONNECTION_FAILURE,
            refused=kind is FailureKind.CONNECT,
            spare=self.routes.is_last_closed(lease.group.name, deployment.backend),
        )
        if outcome.retry_after:
            opened = breaker.cool(now, now + min(outcome.retry_after, policy.max), policy) or opened
        if opened:
            self._observer(Cooled(deployment.id, kind, (breaker.open_until or now) - now, None))

    def _meter_of(self, subject: LimitSubject) -> Meter:
        meter = self._meters.get(subject.name)
        if meter is None:
            load = self.routes.loads.get(subject.name)
            meter = None if load is None else load.meter
        if meter is None:
            meter = self._meters[subject.name] = self._new_meter(subject.name)
        return meter

    def _new_meter(self, subject: str) -> Meter:
        return Meter(None if self.part_of is None else self.part_of(subject))

    def _spending_of(self, subject: LimitSubject) -> Spending:
        spending = self._spending.get(subject.name)
        if spending is None:
            spending = self._spending[subject.name] = Spending()
        return spending

    def _count_for(self, routes: Routes) -> None:
        """A meter for every backend with a deployment that has limits, and for no other."""
        deployments = routes.deployments()
        limited = {deployment.backend for deployment in deployments if deployment.limits is not None}
        for backend, load in routes.loads.items():
            load.meter = (load.meter or self._new_meter(backend)) if backend in limited else None
        for deployment in deployments:
            meter = routes.loads[deployment.backend].meter
            if meter is not None and deployment.limits is not None:
                meter.cover(deployment.limits)
