"""Live load and health, keyed by backend, and the view of them that routing reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING

from router.core.backlog import Backlog
from router.core.breaker import Breaker
from router.core.estimators import Correction, Ewma
from router.core.hashing import stretch
from router.core.keys import KeyHealth
from router.core.latency import Latency
from router.core.limits import Meter
from router.core.standing import Standing
from router.core.types import Deployment, Estimate, ModelGroup, RouteRequest, RoutingPolicy

if TYPE_CHECKING:
    from router.core.hedging import Hedges
    from router.core.retry_budget import Balance, RetryBudget


class BackendLoad:
    """What is known now of one backend. `in_flight` counts this replica's requests, `siblings` the other replicas'.

    `turns` are its virtual times for round-robin, picks / weight, by model name: each model has a round of its own.
    `outstanding` are the tokens still to come of what this replica has sent there: prompts not yet answered, and
    output. `meter` counts for the limits, None where no deployment of it has any; `heard`: some key has a quota. `keys`
    are those of `api_keys`, by position: sorted, so that all processes mean the same by one. `succeeded_at` is when a
    reply last came, in clock seconds.
    """

    __slots__ = ("api_keys", "backlog", "breaker", "heard", "in_flight", "keys", "latency", "meter", "next_key",
                 "outstanding", "siblings", "standing", "succeeded_at", "turns")  # fmt: skip

    def __init__(self, keys: int) -> None:
        self.in_flight = 0
        self.siblings = 0
        self.outstanding = 0
        self.turns: dict[str, float] = {}
        self.breaker = Breaker()
        self.backlog = Backlog()
        self.latency = Latency()
        self.standing = Standing()
        self.api_keys: tuple[str, ...] = ()
        self.keys = [KeyHealth() for _ in range(max(keys, 1))]
        self.next_key = 0
        self.meter: Meter | None = None
        self.heard = False
        self.succeeded_at = float("-inf")

    @property
    def rate_limited(self) -> bool:
        """Some key has not been refused: where none is usable, that is for a 429."""
        return not all(key.refused for key in self.keys)

    def on_trial(self, until: float) -> bool:
        """Whether some key is on trial until that moment."""
        return any(key.trials and key.until == until for key in self.keys)

    def usable_key(self, now: float) -> int | None:
        """The index of the key whose turn it is among those that neither rest nor are used up; None without any."""
        count = len(self.keys)
        for offset in range(count):
            index = (self.next_key + offset) % count
            key = self.keys[index]
            if key.until <= now and (not self.heard or key.quota is None or key.quota.shortage(now) is None):
                return index
        return None


class Candidate:
    """A deployment and what is known of it now. Made once, when a configuration is bound: each equals itself only.

    `stretch`: see `hashing.stretch`; the same for one backend in every process.
    """

    __slots__ = ("deployment", "load", "stretch")

    def __init__(self, deployment: Deployment, load: BackendLoad) -> None:
        self.deployment = deployment
        self.load = load
        self.stretch = stretch(deployment.place)

    def __repr__(self) -> str:
        return f"Candidate({self.deployment.id!r})"

    def frees_at(self, now: float, tokens: int = 1) -> float:
        """When it may be sent a request of `tokens`, if nothing else comes; clock seconds, `now` where it may already.

        `now`, too, for a deployment with all it may serve at once under way: who knows when the first of them ends.
        """
        load, limits = self.load, self.deployment.limits
        moment = min(
            health.until if health.quota is None else max(health.until, health.quota.frees_at(now))
            for health in load.keys
        )
        moment = max(moment, load.breaker.open_until or now, now)
        if limits is None or load.meter is None:
            return moment
        return max(moment, load.meter.frees_at(limits, now, tokens))


_NOTHING: Mapping[str, Ewma] = MappingProxyType({})
_NO_POLICIES: Mapping[str, RoutingPolicy] = MappingProxyType({})
_UNCORRECTED: Mapping[str, Correction] = MappingProxyType({})
_NO_BUDGETS: Mapping[str, RetryBudget] = MappingProxyType({})
_NO_HEDGES: Mapping[str, Hedges] = MappingProxyType({})


class Snapshot:
    """What one decision reads. `now` is the only clock, `live` the number of replicas at work, `heard_at` when the
    others were last heard.

    By model name: `turns` are the groups' virtual times for round-robin, `outputs` their usual output in tokens,
    `prompts` their prompts' tokens as a multiple of the estimate, `cached` the share of those that upstream usually has
    in its cache, `policies` what was configured, `budgets` the groups' retry budgets; a group without one may retry as
    it likes. `hedges` are there for groups that hedge.
    """

    __slots__ = ("_asked", "_asked_of", "_tokens", "budgets", "cached", "heard_at", "hedges", "live", "now", "outputs",
                 "policies", "prompts", "tiers_of", "turns")  # fmt: skip

    def __init__(
        self,
        now: float,
        tiers_of: Mapping[str, Sequence[Sequence[Candidate]]],
        turns: Mapping[str, float],
        outputs: Mapping[str, Ewma] = _NOTHING,
        cached: Mapping[str, Ewma] = _NOTHING,
        policies: Mapping[str, RoutingPolicy] = _NO_POLICIES,
        budgets: Mapping[str, RetryBudget] = _NO_BUDGETS,
        live: int = 1,
        heard_at: float = float("-inf"),
        hedges: Mapping[str, Hedges] = _NO_HEDGES,
        prompts: Mapping[str, Correction] = _UNCORRECTED,
    ) -> None:
        self.now = now
        self.prompts = prompts
        self.tiers_of = tiers_of
        self.turns = turns
        self.outputs = outputs
        self.cached = cached
        self.policies = policies
        self.budgets = budgets
        self.live = live
        self.heard_at = heard_at
        self.hedges = hedges
        self._asked: RouteRequest | None = None
        self._asked_of = ""
        self._tokens = 0

    def affords_retry(self, group: ModelGroup) -> bool:
        """Whether the group's budget pays for one more retry."""
        budget = self.budgets.get(group.name)
        return budget is None or budget.affords(self.now, group.policy.retry_budget, self.live)

    def balance(self, group: ModelGroup) -> Balance | None:
        """What the group's retry budget has; None without one."""
        budget = self.budgets.get(group.name)
        return None if budget is None else budget.balance(self.now, group.policy.retry_budget, self.live)

    def tiers(self, group: ModelGroup) -> Sequence[Sequence[Candidate]]:
        return self.tiers_of[group.name]

    def tier_of(self, candidate: Candidate) -> Sequence[Candidate]:
        """All of `candidate`'s tier, fit to serve or not; empty for one that the view does not know."""
        deployment = candidate.deployment
        for tier in self.tiers_of.get(deployment.model_name, ()):
            if tier and tier[0].deployment.priority == deployment.priority:
                return tier
        return ()

    def tokens(self, request: RouteRequest, model_name: str) -> int:
        """Tokens to expect of `request` in all: what limits are asked for. The last answer is kept: a decision asks the
        same of every candidate."""
        if self._asked is not request or self._asked_of != model_name:
            self._asked, self._asked_of = request, model_name
            self._tokens = self.prompt_tokens(request, model_name) + ceil(self.expected_output(request, model_name))
        return self._tokens

    def expect(self, request: RouteRequest, model_name: str) -> Estimate:
        """The same as what a lease reserves."""
        prompt = self.prompt_tokens(request, model_name)
        return Estimate(prompt, self.tokens(request, model_name) - prompt)

    def prompt_tokens(self, request: RouteRequest, model_name: str) -> int:
        """Prompt tokens to expect of `request`: its estimate, corrected by what the model's replies have reported."""
        ratio = self.prompts.get(model_name)
        if ratio is None or request.counts is not None:
            return request.estimate.prompt_tokens
        return round(request.estimate.prompt_tokens * ratio.value)

    def expected_output(self, request: RouteRequest, model_name: str) -> float:
        """Output tokens to expect of `request`: what the model usually gives, capped by what the request allows."""
        usual = self.outputs.get(model_name)
        known = None if usual is None else usual.value
        if known is None:
            return float(request.estimate.output_tokens)
        return known if request.max_output is None else min(known, float(request.max_output))
