"""The seam between flow and the load picture. Nothing here waits: routing reads memory."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from router.core.catalogue import Catalogue
from router.core.errors import FailureKind
from router.core.limits import Admission, Reservation, Spent
from router.core.load import BackendLoad, Candidate, Snapshot
from router.core.quota import NOTHING_SENT, Allowances, Mark
from router.core.retry import Health
from router.core.retry_budget import Draw
from router.core.routes import Routes
from router.core.types import Deployment, Estimate, LimitSubject, ModelGroup, Usage
from router.state.strict import StrictLimits


class Served(NamedTuple):
    """What a served attempt measured. Times in seconds; `first_token` None for a whole reply."""

    duration: float
    first_token: float | None
    usage: Usage | None


class Outcome(NamedTuple):
    """How one attempt ended, as far as the deployment is concerned.

    `kind` is None for a success; `counts` whether a failure may count for the breaker; `told` False where the attempt
    says nothing about the deployment (its client went away); `served` is what was measured where it went well; `spent`
    what it used up of the limits, None to go by `kind`.
    """

    health: Health = Health.NONE
    kind: FailureKind | None = None
    retry_after: float | None = None
    counts: bool = True
    told: bool = True
    served: Served | None = None
    spent: Spent | None = None

    def untold(self) -> Outcome:
        """The same, of an attempt for which a client chose the key, the headers or the host: it says nothing."""
        return self._replace(health=Health.NONE, told=False)


SUCCESS = Outcome()
CLIENT_GONE = Outcome(told=False)
UNSENT = Outcome(told=False, spent=Spent.NOTHING)
"""Nothing was sent: the client went away before, or the request cannot be expressed there."""


class Lease:
    """One attempt's hold on a deployment: in-flight is up while it lasts. `key` is the API key to sign with.

    `reservation` is its part of the limits, None where the deployment's backend has none; `mark` what had been sent
    with the key. `outstanding` are the tokens still to come, of the prompt while it is not answered and of the output:
    whoever sees them come says so, and what is left at the end is given back with the lease. `key_trial`: it tries its
    key after a rest, and has it to itself until then (clock seconds); 0.0: it does not. `outrun` are the seconds
    after which it was cancelled, having sent no token, because another attempt of the same request had. `waiting`: it
    is a stream that has not begun; `ahead` is how many it found ahead of it when it was sent, at `sent_at` (clock
    seconds).
    """

    __slots__ = ("ahead", "candidate", "estimate", "group", "key", "key_index", "key_trial", "load", "mark",
                 "outrun", "outstanding", "reservation", "sent_at", "settled", "trial", "waiting")  # fmt: skip

    def __init__(
        self, group: ModelGroup, candidate: Candidate, estimate: Estimate, key: str, key_index: int, trial: bool
    ) -> None:
        self.group = group
        self.candidate = candidate
        self.estimate = estimate
        self.load: BackendLoad = candidate.load
        self.key = key
        self.key_index = key_index
        self.trial = trial
        self.key_trial = 0.0
        self.settled = False
        self.outstanding = estimate.total
        self.reservation: Reservation | None = None
        self.mark: Mark = NOTHING_SENT
        self.outrun: float | None = None
        self.waiting = False
        self.ahead = 0.0
        self.sent_at = 0.0

    @property
    def deployment(self) -> Deployment:
        return self.candidate.deployment

    def disown(self, now: float) -> None:
        """A client chose its key, headers or deployment: nothing of it is news of ours, and it tries nothing for us."""
        if self.waiting:
            self.waiting = False
            self.load.backlog.gone()
        if self.trial:
            self.trial = False
            self.load.breaker.abandon_trial()
        if self.key_trial:
            self.end_key_trial(now, well=False, sent=False)

    def let_in(self, now: float) -> None:
        """Upstream has begun a good answer, so its key does well again."""
        if self.key_trial:
            self.end_key_trial(now, well=True)

    def end_key_trial(self, now: float, *, well: bool, sent: bool = True) -> None:
        """Of a lease that has one, with the attempt. `well`: it was answered well; else it tells nothing of the key."""
        key, trial = self.load.keys[self.key_index], self.key_trial
        self.key_trial = 0.0
        if well:
            key.did_well(now)
        else:
            key.give_back(trial, now, sent=sent)

    def answered(self, now: float) -> None:
        """The first of the output has come: the prompt is done with."""
        self._done(self.outstanding - self.estimate.output_tokens)
        if self.waiting:
            self.waiting = False
            load, prompt = self.load, self.estimate.prompt_tokens
            load.latency.streamed(now, prompt, now - self.sent_at, self.ahead)
            load.backlog.answered(now, self.sent_at, load.latency.usual(prompt), load.in_flight, load.siblings)

    def produced(self, tokens: int) -> None:
        """About so many more tokens of output have come. The last of what is expected stays until the end."""
        self._done(min(tokens, self.outstanding - 1))

    def _done(self, tokens: int) -> None:
        if tokens > 0 and not self.settled:
            self.outstanding -= tokens
            self.load.outstanding -= tokens


class StateStore(Protocol):
    """Keeps the load picture. `acquire` and `settle` come in pairs, and so do `admit` and `release`: every lease and
    every reservation is settled exactly once. `routes` are what new requests begin with."""

    routes: Routes
    strict: StrictLimits | None
    """Where limits are asked for on the request's way; None: memory is exact enough, as nobody shares it."""

    def prepare(self, catalogue: Catalogue) -> Routes:
        """What `adopt` is to put in force. Changes nothing, and may run on another thread, one at a time."""

    def adopt(self, routes: Routes) -> None:
        """Serve by these from now on. What is known of backends that stay, or come back soon, is kept."""

    def configure(self, catalogue: Catalogue) -> None:
        """Both at once."""

    def view(self, routes: Routes | None = None) -> Snapshot:
        """The picture as it is now, of those routes; None: of those in force."""

    def admit(self, subject: LimitSubject, estimate: Estimate) -> Admission:
        """Reserve for one request within the subject's limits, or say when there will be room.

        For clients' keys. A deployment's limits are kept by the filter and by `acquire`, which reserves by itself.
        """

    def left(self, subject: LimitSubject) -> Allowances:
        """What the subject has left now."""

    def release(self, reservation: Reservation, spent: Spent, usage: Usage | None) -> None:
        """Settle what `admit` has reserved, on `usage` where it is known. Raises RuntimeError the second time."""

    def broke(self, subject: LimitSubject, *, begun: bool) -> float | None:
        """Seconds until the subject may spend again; None where it may, or has no budget. Infinite: never.

        `begun`: see `Spending.wait`."""

    def hold(self, subject: LimitSubject, dollars: float) -> None:
        """Set aside what a request of the subject is expected to cost. Comes in pairs with `pay`."""

    def pay(self, subject: LimitSubject, held: float, dollars: float) -> None:
        """Give back what was `held`, and spend what the request has cost."""

    def acquire(
        self,
        group: ModelGroup,
        candidate: Candidate,
        estimate: Estimate,
        draw: Draw = Draw.REQUEST,
        stream: bool = False,
    ) -> Lease:
        """Take a lease on `candidate` for one attempt. Reserves the estimate, which `Snapshot.expect` gives, and draws
        on the group's retry budget. `stream`: its lease will be told when the first token comes."""

    def heard(self, lease: Lease, word: Allowances) -> None:
        """What upstream said of its limits in the reply to the lease's request."""

    def probed(self, deployment: Deployment, failure: FailureKind | None, hold: float) -> bool:
        """A probe of its health page was answered well (None), or failed; the next will have been answered in `hold`
        seconds. Whether its breaker is closed."""

    def settle(self, lease: Lease, outcome: Outcome) -> None:
        """Give the lease back and book what it told. Raises RuntimeError on a lease settled before."""
