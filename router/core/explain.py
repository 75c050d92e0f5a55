"""Why a request would go where it would: the functions that route it, asked without sending anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from router.core.catalogue import Catalogue
from router.core.choice import weigh
from router.core.cost import Expectation, expectation
from router.core.errors import FailureKind, RouterError, UpstreamFailure
from router.core.failover import Failover, FallbackKind, Stop, Try
from router.core.filters import FILTERS, Reason, context_window
from router.core.hedge_plan import HedgePlan, hedge_plan
from router.core.load import Candidate, Snapshot
from router.core.plan import Rejection, reason_to_pass_over
from router.core.retry_budget import Balance
from router.core.strategies.base import Weighed
from router.core.types import ModelGroup, RouteRequest

_FIRST_FAILURE: Mapping[FallbackKind, FailureKind] = {
    FallbackKind.GENERAL: FailureKind.SERVER_ERROR,
    FallbackKind.CONTEXT_WINDOW: FailureKind.CONTEXT_WINDOW,
    FallbackKind.CONTENT_POLICY: FailureKind.CONTENT_POLICY,
}
_ANY_SIZE = tuple(filter_ for filter_ in FILTERS if filter_ is not context_window)


class Explained(NamedTuple):
    """One deployment. Passed over for `reason`; or fit, and then `weighed` if its tier is the one in use.

    `cost`: US dollars to expect, None where a price is unknown. `copied`: how likely it is that a copy, if one is sent,
    comes here.
    """

    candidate: Candidate
    reason: Reason | None
    weighed: Weighed | None
    cost: float | None
    copied: float = 0.0

    @property
    def probability(self) -> float:
        return self.weighed.probability if self.weighed else 0.0


class GroupPlan(NamedTuple):
    """What a model group would do with the request: everyone in it, tier by tier; what its retry budget has; and when
    it would send a copy, None where it does not hedge the request."""

    group: ModelGroup
    candidates: Sequence[Explained]
    expected: Expectation
    budget: Balance | None
    hedge: HedgePlan | None

    @property
    def cost(self) -> float | None:
        """US dollars, by probability; None where nobody would be asked, or a price that matters is unknown."""
        picked = [one for one in self.candidates if one.probability > 0.0]
        costs = [one.cost * one.probability for one in picked if one.cost is not None]
        return sum(costs) if picked and len(costs) == len(picked) else None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`first` is the group that is asked first, None where the answer is `refusal` at once; `fallback` why it is not
    the one that was meant. `chains` are the groups that follow the first one, in order, by how the first attempt fails;
    every later one is then taken to fail as well. `plans` by group name."""

    request: RouteRequest
    group: ModelGroup
    first: str | None
    fallback: FallbackKind | None
    refusal: RouterError | None
    chains: Mapping[FallbackKind, Sequence[str]]
    plans: Mapping[str, GroupPlan]


def explain(request: RouteRequest, group: ModelGroup, catalogue: Catalogue, view: Snapshot) -> Explanation:
    """What would become of `request`, which asks for `group`, as things are in `view`. Nothing is changed by asking."""
    failover = Failover(request, group, catalogue, Random(0), _unheard)
    step = failover.next(view)
    first = step.group if isinstance(step, Try) else None
    chains = {kind: _chain(kind, request, group, catalogue, view) for kind in FallbackKind}
    groups = {group.name: group}
    for reached in ([first] if first else []), *chains.values():
        groups.update({one.name: one for one in reached})
    return Explanation(
        request,
        group,
        None if first is None else first.name,
        failover.fallback,
        step.error if isinstance(step, Stop) else None,
        {kind: [one.name for one in chain] for kind, chain in chains.items()},
        {name: plan_of(request, one, view, asked_first=one is first) for name, one in groups.items()},
    )


def plan_of(request: RouteRequest, group: ModelGroup, view: Snapshot, *, asked_first: bool = False) -> GroupPlan:
    """Everyone of `group`, none of them asked yet. `asked_first`: the request does go there, so that where a prompt
    seems too large for everyone, that is left to upstream."""
    filters = FILTERS
    weighing = weigh(request, group, view, (), filters)
    if asked_first and not weighing.weighed:
        filters = _ANY_SIZE
        weighing = weigh(request, group, view, (), filters)
    weighed = {id(one.candidate): one for one in weighing.weighed}
    expected = expectation(request, view, group.name)
    hedge = hedge_plan(request, group, view, weighing.weighed, filters)
    return GroupPlan(
        group,
        [
            Explained(
                candidate,
                reason_to_pass_over(request, candidate, view, (), filters),
                weighed.get(id(candidate)),
                expected.cost(candidate.deployment.prices),
                0.0 if hedge is None else hedge.chance(candidate),
            )
            for tier in view.tiers(group)
            for candidate in tier
        ],
        expected,
        view.balance(group),
        hedge,
    )


def _chain(
    kind: FallbackKind, request: RouteRequest, group: ModelGroup, catalogue: Catalogue, view: Snapshot
) -> list[ModelGroup]:
    """The groups that take over one after the other, each after one attempt, if nobody serves the request."""
    failover = Failover(request._replace(num_retries=0), group, catalogue, Random(0), _unheard)
    reached: list[ModelGroup] = []
    failure = _FIRST_FAILURE[kind]
    while isinstance(step := failover.next(view), Try):
        if step.group.name != group.name:
            reached.append(step.group)
        failover.failed(step, UpstreamFailure(failure, failure.value))
        failure = FailureKind.SERVER_ERROR
    return reached


def _unheard(rejections: Sequence[Rejection]) -> None:
    """Nothing happens for real, so nobody counts it."""
