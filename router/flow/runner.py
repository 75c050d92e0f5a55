"""One request's attempts, one after the other, until one serves it or nothing is left to try."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

from router.core.catalogue import Catalogue, deployment_of
from router.core.clock import Clock
from router.core.errors import FailureKind, RouterError, UpstreamFailure
from router.core.events import Attempted, FellBack, Finished, Observer, Rejected
from router.core.exhausted import describe
from router.core.failover import Failover, Stop, Try, Wait
from router.core.plan import Rejection
from router.core.types import ModelGroup, RouteRequest
from router.dialects.base import Dialect, InferenceRequest
from router.flow.exchange import Exchange
from router.flow.relay import Relay
from router.state.base import CLIENT_GONE, SUCCESS, Outcome, StateStore
from router.upstream.base import Timing, Upstream, UpstreamResponse

_TIMEOUTS = (FailureKind.ATTEMPT_TIMEOUT, FailureKind.FIRST_TOKEN_TIMEOUT, FailureKind.IDLE_TIMEOUT)
_NEVER = float("inf")


class Runner:
    """Serves requests from one catalogue. `dialects` by provider, `upstreams` by the scheme of an origin.

    `sse_keepalive`: see `Relay`, in seconds.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        dialects: Mapping[str, Dialect],
        upstreams: Mapping[str, Upstream],
        state: StateStore,
        observer: Observer,
        clock: Clock,
        rng: Random,
        sse_keepalive: float,
    ) -> None:
        self.catalogue = catalogue
        self._dialects = dialects
        self._upstreams = upstreams
        self._state = state
        self._observer = observer
        self._clock = clock
        self._rng = rng
        self._sse_keepalive = sse_keepalive

    async def run(
        self, request: InferenceRequest, route: RouteRequest, group: ModelGroup, exchange: Exchange, record: Finished
    ) -> None:
        """Serve `request` through `exchange`, noting in `record` what happened.

        Raises RouterError where nothing has been written yet; later failures are told in the stream itself.
        """

        def rejected(rejections: Sequence[Rejection]) -> None:
            for rejection in rejections:
                self._observer(Rejected(failover.group.name, rejection.reason))

        failover = Failover(route, group, self.catalogue, self._rng, rejected)
        served_by = group
        while True:
            step = failover.next(self._state.view())
            if isinstance(step, Try):
                if step.group is not served_by and failover.fallback is not None:
                    self._observer(FellBack(group.name, step.group.name, failover.fallback))
                    served_by = step.group
                if await self._attempt(request, route, step, failover, exchange, record):
                    return
            elif isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Stop):
                raise step.error

    async def _attempt(
        self,
        request: InferenceRequest,
        route: RouteRequest,
        step: Try,
        failover: Failover,
        exchange: Exchange,
        record: Finished,
    ) -> bool:
        """Send once, and settle. True where the client has its answer, be it a broken one."""
        deployment = deployment_of(step.group, step.candidate.deployment)
        lease = self._state.acquire(step.group, step.candidate, route.estimate)
        began = self._clock()
        outcome, told = CLIENT_GONE, "client_gone"
        record.attempts = failover.attempts
        record.served_by, record.deployment, record.provider = step.group.name, deployment.id, deployment.provider
        try:
            dialect = self._dialects[deployment.provider]
            wire = dialect.encode(request, deployment, lease.key)
            response = await self._upstreams[wire.origin.scheme].send(wire, self._timing(route, step, began))
            await self._answer(request, dialect, response, step, exchange, record, began)
            outcome, told = SUCCESS, "ok"
            return True
        except UpstreamFailure as failure:
            verdict = failover.failed(step, failure)
            # What a client's own short deadline cut off says nothing about the deployment.
            ours = failure.kind not in _TIMEOUTS or self._clock() < route.deadline
            outcome = Outcome(verdict.health, failure.kind, failure.retry_after, step.counts and ours)
            told = failure.kind.value
            if failure.sent_bytes:
                self._break(failover, exchange, record)
            return failure.sent_bytes
        finally:
            duration = self._clock() - began
            record.upstream += duration
            self._state.settle(lease, outcome)
            self._observer(Attempted(step.group.name, deployment.id, deployment.provider, told, duration))

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
        dialect: Dialect,
        response: UpstreamResponse,
        step: Try,
        exchange: Exchange,
        record: Finished,
        began: float,
    ) -> None:
        """Hand the response on to the client. Raises UpstreamFailure where it cannot be, or breaks."""
        status, headers, body, stream = response
        if not 200 <= status < 300:
            raise dialect.failure(status, headers, body)
        if stream is None:
            reply = dialect.reply(request, headers, body)
            if request.stream:
                raise UpstreamFailure(FailureKind.BAD_REPLY, "sent no event stream", status=status)
            record.usage = reply.usage
            if reply.usage is not None:
                record.cost = step.candidate.deployment.prices.cost(reply.usage)
            exchange.reply(reply.body, record, headers)
            return
        if not request.stream:
            stream.abort()
            raise UpstreamFailure(FailureKind.BAD_REPLY, "sent an event stream unasked", status=status)
        decoder = dialect.decoder(request, headers)
        relay = Relay(stream, decoder, exchange, record, headers, self._sse_keepalive)
        try:
            failure = await relay.run()
        finally:
            if relay.committed_at is not None:
                record.first_token = relay.committed_at - began
            record.usage = decoder.usage
            if decoder.usage is not None:
                record.cost = step.candidate.deployment.prices.cost(decoder.usage)
        if failure is not None:
            raise failure

    def _break(self, failover: Failover, exchange: Exchange, record: Finished) -> None:
        """The stream broke after its first byte: say so in the stream, and end it."""
        record.outcome, record.error = "broken", "stream_broken"
        told = describe(failover.failures)
        exchange.fail(RouterError(502, "stream_broken", f"the stream broke: {told}", type="api_error"))
