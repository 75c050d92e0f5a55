"""What one request does next: the decisions of retries, fallbacks and waits, without performing any of them.

The runner asks `next` and performs the step; after a failed attempt it tells `failed` and asks again. The same object
serves the simulator. The rules it keeps:

- No backend is tried twice while another candidate of the group is left (I2).
- Attempts never exceed `max_attempts`, and none starts after the deadline, over all groups together (I3).
- A group is tried `1 + num_retries` times at most; then its fallbacks follow in order. Fallback lists are not
  transitive, and a group visited once is skipped, so no configuration makes a cycle.
- A request counts at most one failure per group, so a poison request cannot open every breaker (I10).
- A retry that the group's retry budget does not cover is not made: the fallbacks follow, or the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random

from router.core.catalogue import Catalogue
from router.core.choice import Choice, choose
from router.core.errors import FailureKind, UpstreamFailure
from router.core.exhausted import FailedAttempt, exhausted_error, rate_limited
from router.core.fallbacks import next_group
from router.core.filters import FILTERS, Filter, Reason, context_window
from router.core.hedging import COPY_FILTERS
from router.core.load import Candidate, Snapshot
from router.core.plan import Rejection
from router.core.retry import BREAKER_FAILURES, Action, Health, Verdict, backoff, judge
from router.core.retry_budget import Draw, is_free, unproven
from router.core.room import Room, room
from router.core.steps import FallbackKind as FallbackKind
from router.core.steps import Step as Step
from router.core.steps import Stop as Stop
from router.core.steps import Try as Try
from router.core.steps import Wait as Wait
from router.core.types import ModelGroup, RouteRequest

TOO_SHORT = 0.002
"""Seconds before the deadline in which nothing is begun any more: event loops round to milliseconds."""

_FALLBACK_KINDS = {
    Action.CONTEXT_WINDOW_FALLBACK: FallbackKind.CONTEXT_WINDOW,
    Action.CONTENT_POLICY_FALLBACK: FallbackKind.CONTENT_POLICY,
}
_STAY = (Action.ELSEWHERE, Action.NEVER_SAME)
_ANY_SIZE = tuple(filter_ for filter_ in FILTERS if filter_ is not context_window)
_HELD = Reason.ALREADY_TRIED


class Failover:
    """One request's way through its model group and the fallbacks of it.

    `denied` is the group whose budget has just refused a retry. `_turns_here` are the attempts in this group, and the
    waits in vain. What most requests never change has its first value on the class.
    """

    attempts = 0
    fallback: FallbackKind | None = None
    denied = ""
    _hedged = False
    _passed_over: ModelGroup | None = None
    _retries: int
    _action: Action
    _first_rejections: Sequence[Rejection] = ()
    _outgrown: int | None = None
    _needed = 0

    def __init__(
        self,
        request: RouteRequest,
        group: ModelGroup,
        catalogue: Catalogue,
        rng: Random,
        rejected: Callable[[Sequence[Rejection]], None],
        held: Collection[str] = (),
    ) -> None:
        """`rejected` hears of every filter's decision; `held` are backends whose next slot is somebody else's."""
        self.request = request
        self.first = group
        self.failures: list[FailedAttempt] = []
        self._catalogue = catalogue
        self._rng = rng
        self.rejected = rejected
        self._visited: set[str] = set()
        self._tried: set[str] = set()
        self._held = held
        self._never: set[str] = set()
        self._opened: set[Action] = set()
        self._max_attempts = group.policy.max_attempts
        self._enter(group)

    def next(self, view: Snapshot) -> Step:
        """The next step. A `Try` counts as begun: the caller sends it."""
        while True:
            if view.now + TOO_SHORT >= self.request.deadline:
                return self._stop(view, deadline=True)
            if self.attempts >= self._max_attempts:
                return self._stop(view)
            if self._outgrown is not None:
                step = self._larger(view, self._outgrown)
                if step is not None:
                    return step
            if self._turns_here <= self._retries and self._action in _STAY:
                step = self._stay(view)
                if step is not None:
                    return step
            group = self._fallback_group(view)
            if group is not None:
                self.fallback = _FALLBACK_KINDS.get(self._action, FallbackKind.GENERAL)
                self._enter(group)
            elif self._passed_over is not None:
                # Too large by the estimate alone. That moves a prompt, but never refuses one: let upstream judge.
                self._enter(self._passed_over)
                self._passed_over = None
                self._filters = _ANY_SIZE
            else:
                return self._stop(view)

    def failed(self, step: Try, failure: UpstreamFailure) -> Verdict:
        """The attempt of `step` failed. Returns the verdict, which the deployment's health follows too."""
        deployment = step.candidate.deployment
        verdict = judge(failure, client_named="*" in deployment.model)
        if verdict.health is Health.COOL_DEPLOYMENT_LONG and deployment.mode is None:
            # Perhaps it only lacks the kind of request that this client chose: an ordinary failure, for the breaker.
            verdict = Verdict(verdict.action, Health.FAILURE)
        self.failures.append(FailedAttempt(deployment.id, failure))
        self._action = verdict.action
        self._waited = False
        if verdict.action in _FALLBACK_KINDS:
            self._opened.add(verdict.action)
        if verdict.action is Action.CONTEXT_WINDOW_FALLBACK:
            self._outgrown = deployment.context_window
            self._needed = max(self._needed, (deployment.context_window or 0) + 1)
        if verdict.health in BREAKER_FAILURES:
            self._counted = True
        if verdict.action is Action.NEVER_SAME and verdict.health is not Health.COOL_KEY_LONG:
            self._never.add(deployment.backend)  # a refused key rests by itself; the deployment may have others
        return verdict

    @property
    def stays(self) -> bool:
        """Whether the last verdict leaves the request in its group."""
        return self._action in _STAY

    def hedge(self, view: Snapshot) -> Try | None:
        """A copy of the attempt under way, for another deployment that is well and has room to spare; None where there
        is none, or the request has had its copy, or its attempts. It counts as an attempt and not as a retry."""
        if self._hedged or self.attempts >= self._max_attempts:
            return None
        filters = (*self._filters, *COPY_FILTERS)
        chosen = self._pick(view, self._tried, filters).candidate
        if chosen is None:
            return None
        self._hedged = True
        self._tried.add(chosen.deployment.backend)
        self.attempts += 1
        return Try(self.group, chosen, counts=False, draw=Draw.FREE)

    # Within one group.

    def _enter(self, group: ModelGroup) -> None:
        self.group = group
        self._visited.add(group.name)
        self._action = Action.ELSEWHERE
        self._turns_here = 0
        self._repeats = 0
        self._waited = False
        self._counted = False
        self._filters = FILTERS
        self._outgrown = None
        retries = self.request.num_retries
        self._retries = group.policy.num_retries if retries is None else retries

    def _stay(self, view: Snapshot) -> Step | None:
        """Another candidate of this group, or one of those tried once more; None where the group has nothing to
        offer."""
        chosen, rejections = self._choose(view, self._tried or self._held)
        if chosen is not None:
            return self._retry(view, chosen) if self._turns_here else self._begin(chosen, Draw.REQUEST)
        if self._turns_here:
            return self._repeat(view)
        too_large = [each.candidate for each in rejections if each.reason is Reason.CONTEXT_WINDOW]
        if too_large:
            self._action = Action.CONTEXT_WINDOW_FALLBACK
            self._opened.add(self._action)
            if any(self._only_seems(candidate, view) for candidate in too_large):
                self._passed_over = self.group
        return None

    def _only_seems(self, candidate: Candidate, view: Snapshot) -> bool:
        """Whether nobody has counted that the prompt is too large for `candidate`."""
        tokens = view.prompt_tokens(self.request, candidate.deployment.model_name)
        return room(self.request, candidate.deployment, tokens) is not Room.TOO_LARGE

    def _retry(self, view: Snapshot, chosen: Candidate) -> Step | None:
        """On `chosen`, who has not been tried; but first on somebody who is known to be well, which is free."""
        if is_free(chosen, view.now):
            return self._begin(chosen, Draw.FREE)
        filters = (*self._filters, unproven)
        proven = self._pick(view, self._tried, filters).candidate
        if proven is not None:
            return self._begin(proven, Draw.FREE)
        return self._pay(view, chosen)

    def _pay(self, view: Snapshot, chosen: Candidate) -> Step | None:
        """A retry with `chosen`, where the group's budget pays for it."""
        return self._begin(chosen, Draw.PAID) if self._affords(view) else None

    def _affords(self, view: Snapshot) -> bool:
        """Whether the group's budget pays for a retry. That it does not is to be told of."""
        if view.affords_retry(self.group):
            return True
        self.denied = self.group.name
        return False

    def _larger(self, view: Snapshot, window: int) -> Step | None:
        """A deployment of this group with a larger window than the one that was too small."""
        self._outgrown = None
        filters = (*self._filters, _larger_than(window))
        chosen = self._pick(view, self._tried, filters).candidate
        if chosen is None:
            return None
        return self._begin(chosen, Draw.FREE) if is_free(chosen, view.now) else self._pay(view, chosen)

    def _repeat(self, view: Snapshot) -> Step | None:
        """One of those tried once more, after a wait for it; None where that makes no sense."""
        if self._waited:
            chosen, _ = self._choose(view, self._never)
            if chosen is not None:
                return self._pay(view, chosen)
            self._turns_here += 1  # somebody else came first: a wait in vain is a retry, too
            if self._turns_here > self._retries:
                return None
        seconds = self._wait(view)
        if seconds is None or not self._affords(view):
            return None
        self._waited = True
        self._repeats += 1
        return Wait(seconds)

    def _wait(self, view: Snapshot) -> float | None:
        """Seconds until a repeat makes sense, or None where nobody can be asked again before the deadline."""
        tried = [
            candidate
            for tier in view.tiers(self.group)
            for candidate in tier
            if candidate.deployment.backend in self._tried and candidate.deployment.backend not in self._never
        ]
        if not tried:
            return None
        tokens = view.tokens(self.request, self.group.name)
        frees_at = min(candidate.frees_at(view.now, tokens) for candidate in tried)
        frees_in = frees_at - view.now
        last = self.failures[-1].failure
        named = self._action is Action.ELSEWHERE and last.retry_after is not None
        soon = any(candidate.load.on_trial(frees_at) for candidate in tried)
        if frees_in > 0.0 and not named and not soon and last.kind is not FailureKind.RATE_LIMITED:
            return None  # a breaker has opened, a key rests or a limit is reached, and nobody named a time to come back
        if frees_in > 0.0 and self._fallback_group(view) is not None:
            return None  # somebody else can serve now
        seconds = frees_in + backoff(self._repeats, self._rng.random())
        return seconds if view.now + seconds < self.request.deadline else None

    def _choose(self, view: Snapshot, tried: Collection[str]) -> tuple[Candidate | None, Sequence[Rejection]]:
        chosen, rejections = self._pick(view, tried, self._filters)
        if rejections:
            self.rejected(rejections)
            if self.group is self.first and not self.attempts:
                self._first_rejections = rejections
        return chosen, rejections

    def _pick(self, view: Snapshot, tried: Collection[str], filters: tuple[Filter, ...]) -> Choice:
        return choose(self.request, self.group, view, self._rng, tried, filters)

    def _begin(self, candidate: Candidate, draw: Draw) -> Try:
        self._tried.add(candidate.deployment.backend)
        self._passed_over = None
        self.attempts += 1
        self._turns_here += 1
        return Try(self.group, candidate, not self._counted, draw)

    # From group to group.

    def _fallback_group(self, view: Snapshot) -> ModelGroup | None:
        """The next group of the lists that the verdicts have opened."""
        if self._action in (Action.GIVE_UP, Action.STOP):
            return None
        return next_group(self.request, self.first, self._catalogue, view, self._opened, self._visited, self._needed)

    def _stop(self, view: Snapshot, *, deadline: bool = False) -> Stop:
        tokens = view.tokens(self.request, self.first.name)
        rejections = self._first_rejections
        error = exhausted_error(
            self.first, self.failures, rejections, view.now, deadline=deadline, tokens=tokens, denied=bool(self.denied)
        )
        untried = () if self.attempts or deadline else rejections  # so that ALREADY_TRIED means held
        return Stop(error, [each.candidate for each in untried if rate_limited(each) or each.reason is _HELD])


def _larger_than(window: int) -> Filter:
    def too_small(request: RouteRequest, candidate: Candidate, view: Snapshot) -> Reason | None:
        own = candidate.deployment.context_window
        return Reason.CONTEXT_WINDOW if own is None or own <= window else None

    return too_small
