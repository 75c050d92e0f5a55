"""One request's attempts, one after the other, until one serves it or nothing is left to try."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from math import ceil
from random import Random

from router.core.catalogue import Catalogue, deployment_of
from router.core.clock import Clock
from router.core.errors import FailureKind, RouterError, UpstreamFailure
from router.core.events import Attempted, FellBack, Finished, Observer, Rejected, RetryDenied
from router.core.exhausted import describe
from router.core.failover import Failover, Stop, Try, Wait
from router.core.plan import Rejection
from router.core.retry import is_no_fault
from router.core.routes import Routes, with_group
from router.core.tokens import BYTES_PER_TOKEN
from router.core.types import Limits, ModelGroup, QueuePolicy, RouteRequest
from router.dialects.base import Dialect, InferenceRequest
from router.dialects.recognise import read_again
from router.flow.accounting import book
from router.flow.admission import Gate, unknown_limit
from router.flow.copying import Copying
from router.flow.exchange import Exchange
from router.flow.hedging import Hedger
from router.flow.prompter import Prompter
from router.flow.queue import Blocked, Queue, Ticket, blocked
from router.flow.relay import Relay
from router.state.base import CLIENT_GONE, UNSENT, Lease, Outcome, Served, StateStore
from router.upstream.base import GUARDED, Timing, Upstream, UpstreamResponse

_NEVER = float("inf")


class Runner:
    """Serves requests by the routes of `state`. `dialects` by their names, `upstreams` by the scheme of an origin.

    `sse_keepalive`: see `Relay`, in seconds. `prompter` is needed where a deployment has a template.
    """

    def __init__(
        self,
        dialects: Mapping[str, Dialect],
        upstreams: Mapping[str, Upstream],
        state: StateStore,
        observer: Observer,
        clock: Clock,
        rng: Random,
        sse_keepalive: float,
        prompter: Prompter | None = None,
    ) -> None:
        self._dialects = dialects
        self._upstreams = upstreams
        self._state = state
        self._observer = observer
        self._clock = clock
        self._rng = rng
        self.sse_keepalive = sse_keepalive
        self._prompter = prompter
        self.gate = Gate(state)
        self.queue = Queue(clock, observer, self._give_back)
        self._hedger = Hedger(state, observer, clock, self._attempt, self._give_back)

    @property
    def catalogue(self) -> Catalogue:
        """In force now: what a request begins with, it is served by to its end."""
        return self._state.routes.catalogue

    async def run(
        self, request: InferenceRequest, route: RouteRequest, group: ModelGroup, exchange: Exchange, record: Finished
    ) -> None:
        """Serve `request` through `exchange`, noting in `record` what happened.

        Raises RouterError where nothing has been written yet; later failures are told in the stream itself.
        """
        policy = group.policy.queue
        routes = self._state.routes
        if request.override is not None and request.override.own_group:
            routes = with_group(routes, group)
        failover = Failover(route, group, routes.catalogue, self._rng, self._rejected)
        served_by = group
        if group.policy.content_policy_fallbacks:
            request.moves_filtered = True
        if record.trace is not None and record.trace.content:
            record.trace.asked = request.raw
            exchange = Copying(exchange, record.trace)
        while True:
            if policy is None or failover.attempts:
                turn = self._turn(routes, failover, route)
            else:
                began = self._clock()
                turn = await self._queued_turn(routes, failover, route, group, policy)
                record.waited += self._clock() - began
            if isinstance(turn, Ticket):
                failover, step, lease = turn.failover, turn.step, turn.lease
                if step.group is not served_by and failover.fallback is not None:
                    self._observer(FellBack(group.name, step.group.name, failover.fallback))
                    served_by = step.group
                limits = step.candidate.deployment.limits
                if limits is not None and limits.strict is not None and not await self._strictly(limits, turn):
                    continue
                if step.group.policy.hedging is None or not request.stream or request.override is not None:
                    served = await self._attempt(
                        request, route, step, lease, failover, exchange, record, turn.selection
                    )
                else:
                    served = await self._hedger.serve(
                        request, route, routes, failover, step, lease, exchange, record, turn.selection
                    )
                if served:
                    return
            elif isinstance(turn, Wait):
                record.waited += turn.seconds
                await asyncio.sleep(turn.seconds)
            else:
                raise turn.error

    def _turn(self, routes: Routes, failover: Failover, route: RouteRequest) -> Ticket | Wait | Stop:
        """The next step; an attempt comes with its lease."""
        view = self._state.view(routes)
        step = failover.next(view)
        if failover.denied:
            self._observer(RetryDenied(failover.denied))
            failover.denied = ""
        if not isinstance(step, Try):
            return step
        if route.payer is not None and step.group is not failover.first:
            refusal = self.gate.over_budget(route.payer, begun=True)
            if refusal is not None:
                return Stop(refusal)
        estimate = view.expect(route, step.candidate.deployment.model_name)
        lease = self._state.acquire(step.group, step.candidate, estimate, step.draw, route.stream)
        return Ticket(failover, step, lease, self._clock() - view.now)

    async def _queued_turn(
        self, routes: Routes, failover: Failover, route: RouteRequest, group: ModelGroup, policy: QueuePolicy
    ) -> Ticket | Wait | Stop:
        """The same for the first step: where every deployment is at its limit, or others wait already, it is queued."""
        if group not in self.queue:
            turn = self._turn(routes, failover, route)
            if not isinstance(turn, Stop) or not turn.full:
                return turn

        def probe(held: Collection[str]) -> Ticket | Blocked:
            failover = Failover(route, group, routes.catalogue, self._rng, _unheard, held)
            turn = self._turn(routes, failover, route)
            if isinstance(turn, Ticket):
                failover.rejected = self._rejected
                return turn
            assert isinstance(turn, Stop), "nothing was sent, so nothing is waited for"
            view = self._state.view(routes)
            return blocked(turn, view.now, view.tokens(route, group.name))

        return await self.queue.wait(group, policy, route, probe)

    def _rejected(self, rejections: Sequence[Rejection]) -> None:
        for candidate, reason in rejections:
            self._observer(Rejected(candidate.deployment.model_name, reason))

    def _give_back(self, lease: Lease) -> None:
        """The client went away before anything was sent."""
        self._state.settle(lease, UNSENT)
        self.queue.freed(lease.deployment.backend)

    async def _strictly(self, limits: Limits, ticket: Ticket) -> bool:
        """Ask for what the lease holds of strict limits. False where there is no room: the lease is given back, and the
        attempt counts as one that met a 429. Raises RouterError 503 where nobody can be asked, and that is to close."""
        failover, step, lease = ticket.failover, ticket.step, ticket.lease
        strict = self._state.strict
        if strict is None or lease.reservation is None:
            return True
        try:
            refusal = await strict.take(step.candidate.deployment.backend, limits, lease.reservation)
        except BaseException:
            self._give_back(lease)
            raise
        if refusal is None:
            return True
        self._give_back(lease)
        if refusal.short is None:
            raise unknown_limit(refusal)
        told = f"{refusal.short} limit"
        failover.failed(step, UpstreamFailure(FailureKind.RATE_LIMITED, told, retry_after=refusal.wait))
        return False

    async def _attempt(
        self,
        request: InferenceRequest,
        route: RouteRequest,
        step: Try,
        lease: Lease,
        failover: Failover,
        exchange: Exchange,
        record: Finished,
        selection: float,
    ) -> bool:
        """Send once, and settle. True where the client has its answer, be it a broken one."""
        deployment = deployment_of(step.group, step.candidate.deployment)
        trace, span_id = record.trace, 0
        asked = began = self._clock()
        answered: float | None = None
        timing = self._timing(route, step, began)
        override = request.override if step.group is failover.first else None
        outcome, told = UNSENT, "client_gone"
        record.attempts = failover.attempts
        record.served_by, record.deployment, record.provider = step.group.name, deployment.id, deployment.provider
        try:
            request = request if request.hops is None else request.hops.get(step.group.name, request)
            if deployment.template is not None and request.kind == "chat" and self._prompter is not None:
                request = await self._prompter.prepare(request, deployment)
            key = lease.key
            if override is not None:
                lease.disown(began)
                self.queue.freed(deployment.backend)
                deployment = override.applied(deployment)
                key = key if override.api_key is None else override.api_key
            dialect = self._dialects[deployment.dialect]
            wire = dialect.encode(request, deployment, key)
            if trace is not None:
                span_id = trace.new_span()
                wire = wire._replace(head=trace.head(wire.head, span_id))
            outcome = CLIENT_GONE
            asked = self._clock()
            scheme = wire.origin.scheme if deployment.guard is None else GUARDED
            response = await self._upstreams[scheme].send(wire, timing)
            if response.stream is None:
                answered = self._clock()
            elif lease.key_trial and 200 <= response.status < 300:
                lease.let_in(self._clock())
                self.queue.freed(deployment.backend)
            word = dialect.allowances(response.headers)
            if word is not None and override is None:
                self._state.heard(lease, word)
            await self._answer(request, route, dialect, response, lease, exchange, record, began)
            told_usage = None if record.usage is None or record.usage.estimated else record.usage
            outcome = Outcome(served=Served(self._clock() - began, record.first_token, told_usage))
            told = "ok"
            return True
        except UpstreamFailure as failure:
            verdict = failover.failed(step, failure)
            if outcome is not UNSENT and not is_no_fault(failure, timing.deadline, route, failover.attempts):
                outcome = Outcome(verdict.health, failure.kind, failure.retry_after, step.counts)
            told = failure.kind.value
            if failure.sent_bytes:
                self._break(failover, exchange, record)
            return failure.sent_bytes
        finally:
            ended = self._clock()
            told = told if lease.outrun is None else "outrun"
            duration = record.last_attempt = ended - began
            record.upstream += (ended if answered is None else answered) - asked
            self._state.settle(lease, outcome if override is None else outcome.untold())
            if trace is not None:
                trace.attempted(step.group.name, deployment, told, began, ended, span_id)
            self._observer(Attempted(step.group.name, deployment.id, deployment.provider, told, duration, selection))
            if self.queue:
                self.queue.freed(deployment.backend)

    def _timing(self, route: RouteRequest, step: Try, now: float) -> Timing:
        policy = step.group.policy
        return Timing(
            min(now + policy.attempt_timeout, route.deadline),
            policy.connect_timeout,
            now + policy.first_token_timeout if route.stream else _NEVER,
            policy.stream_idle_timeout,
        )

    async def _answer(
        self,
        request: InferenceRequest,
        route: RouteRequest,
        dialect: Dialect,
        response: UpstreamResponse,
        lease: Lease,
        exchange: Exchange,
        record: Finished,
        began: float,
    ) -> None:
        """Hand the response on to the client. Raises UpstreamFailure where it cannot be, or breaks."""
        status, headers, body, stream = response.status, response.headers, response.body, response.stream
        deployment = deployment_of(lease.group, lease.deployment)
        if not 200 <= status < 300:
            failed, patterns = dialect.failure(status, headers, body), lease.group.policy.error_patterns
            raise failed if patterns is None else read_again(failed, body, patterns)
        if stream is None:
            reply = dialect.reply(request, headers, body)
            if request.stream:
                raise UpstreamFailure(FailureKind.BAD_REPLY, "sent no event stream", status=status)
            book(record, route, deployment, reply.usage, lease.estimate, ceil(reply.text / BYTES_PER_TOKEN))
            exchange.reply(reply.body, record, headers)
            return
        if not request.stream:
            stream.abort()
            raise UpstreamFailure(FailureKind.BAD_REPLY, "sent an event stream unasked", status=status)
        decoder = dialect.decoder(request, headers)
        relay = Relay(stream, decoder, exchange, record, headers, self.sse_keepalive, lease)
        try:
            failure = await relay.run()
        finally:
            if relay.committed_at is not None:
                record.first_token = relay.committed_at - began
                book(record, route, deployment, decoder.usage, lease.estimate, relay.events)
        if failure is not None:
            raise failure

    def _break(self, failover: Failover, exchange: Exchange, record: Finished) -> None:
        """The stream broke after its first byte: say so in the stream, and end it."""
        record.outcome, record.error = "broken", "stream_broken"
        told = describe(failover.failures)
        exchange.fail(RouterError(502, "stream_broken", f"the stream broke: {told}", type="api_error"))


def _unheard(rejections: Sequence[Rejection]) -> None:
    """What filters find for a request that waits was told when it came."""
