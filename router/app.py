"""The composition root: the only module that knows every concrete class."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random
from secrets import token_hex
from typing import NamedTuple

from router.access import keys_of
from router.config.change import fixed_settings
from router.config.load import Config
from router.core.clock import Clock
from router.core.errors import ConfigError
from router.core.events import Finished
from router.core.redis_address import parse_redis_url
from router.core.routes import Routes
from router.dialects.azure import EntraOptions
from router.dialects.registry import dialects
from router.dialects.sagemaker import SIGNED
from router.edge.auth import Authenticator, Key
from router.edge.date import HttpDate
from router.edge.generic import GenericHandler
from router.edge.inference import Inference
from router.edge.pages import Pages
from router.edge.routes import HOT
from router.edge.server import EdgeServer, Listener
from router.edge.service import Service
from router.flow.probes import Prober
from router.flow.prompter import Prompter
from router.flow.runner import Runner
from router.state.exchange import Medium
from router.state.memory import MemoryStore
from router.state.outbox import HEARS
from router.state.sharing import Sharing
from router.state.strict import StrictLimits
from router.telemetry.access_log import AccessLog
from router.telemetry.bus import EventBus
from router.telemetry.lag import LoopLag
from router.telemetry.log import Log
from router.telemetry.metrics import Metrics, Sample
from router.telemetry.otlp import OtlpSender
from router.telemetry.reloads import Reloads
from router.telemetry.sources import ProcessFigures, deployments, queues
from router.telemetry.tracing import Tracing
from router.templates.renderer import TemplateRenderer
from router.upstream.aws import AwsUpstream
from router.upstream.base import GUARDED, Upstream
from router.upstream.client import HttpUpstream
from router.upstream.entra import EntraTokens, SignIn, identities
from router.upstream.exact import ExactCounter, can_count
from router.upstream.figures import figures
from router.upstream.guard import GuardedUpstream
from router.upstream.inprocess import MockUpstream
from router.upstream.proxy import Proxies

KEEPALIVE_TIMEOUT = 75.0
"""Seconds an idle client connection is kept: longer than the usual 60 s of a balancer in front."""


LOCAL_TRADES_APART = 0.005
"""Seconds between two trades of one worker with its siblings, at least."""
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter from the event loop where traces are sent: making them is work."""


class Change(NamedTuple):
    """A configuration on its way into force: all that takes long is done. `fixed` names what waits for a restart."""

    config: Config
    keys: list[Key]
    routes: Routes
    ways: Mapping[EntraOptions, SignIn]
    fixed: tuple[str, ...]


class Shift(NamedTuple):
    """What a worker has from the supervisor, in place of its own: the sockets to take connections from, the way to its
    siblings (for want of Redis), and the metrics of all of them."""

    number: int
    sockets: Sequence[socket.socket]
    medium: Medium
    expose: Callable[[], Awaitable[bytes]]


class App:
    """Everything one process runs, wired together from a configuration. Lives on the running event loop."""

    def __init__(self, config: Config, shift: Shift | None = None) -> None:
        """`shift` is a worker's."""
        self._shift = shift
        settings = config.settings.server
        clock = time.monotonic  # the event loop's own clock, but for uvloop's rounding to milliseconds
        rng = Random()
        self._started_with = config.settings
        self._settings = settings
        self._drain = (settings.drain_delay, settings.drain_seconds)
        self._keys = keys_of(config)
        self.log = Log() if shift is None else Log(worker=shift.number)
        self._access_log = access_log_of(config)
        self._tracing = tracing_of(config, rng, self.log)
        self.observe = observe = EventBus()
        self.log.listen(observe)
        if self._access_log is not None:
            observe.on(Finished, self._access_log)
        if self._tracing is not None:
            observe.on(Finished, self._tracing)
        self._store = store = MemoryStore(clock, observe, time.time)
        store.configure(config.catalogue)
        self._sharing = sharing_of(config, store, observe, clock, rng, None if shift is None else shift.medium)
        self._strict = store.strict
        self._background: list[asyncio.Task[None]] = []
        self.metrics = metrics = Metrics()
        metrics.listen(observe)
        if shift is None:
            Reloads(metrics.family, time.time()).listen(observe)
        self._lag = LoopLag(metrics.family("router_event_loop_lag_seconds").cell(()))
        http = HttpUpstream(proxies=Proxies.read(os.environ))
        self._upstreams: dict[str, Upstream] = {"http": http, "https": http, "unix": http, "mock": MockUpstream()}
        self._upstreams[GUARDED] = GuardedUpstream(counters=http.counters)
        self._entra = EntraTokens(identities(config.catalogue), self.log.sign_in_failed)
        metrics.read(self._entra.samples)
        aws = AwsUpstream(http)
        self._upstreams |= {SIGNED + "http": aws, SIGNED + "https": aws}
        self._templates = TemplateRenderer()
        metrics.read(self._templates.samples)
        self._runner = runner = Runner(
            dialects(self._entra),
            self._upstreams,
            store,
            observe,
            clock,
            rng,
            settings.sse_keepalive,
            Prompter(self._templates),
        )
        self._prober = Prober(self._upstreams, store, observe, clock, rng)
        self._counter = ExactCounter() if can_count() else None
        self._auth = auth = Authenticator(self._keys, lambda: datetime.now(UTC).date())
        self._service = service = Service(
            Inference(runner, auth, clock, self._counter),
            observe,
            self.log.unforeseen,
            clock,
            time.time,
            rng,
            settings.max_concurrent_requests,
            self._tracing.begin if self._tracing is not None else None,
        )
        metrics.read(partial(deployments, store.candidates, clock))
        metrics.read(partial(queues, runner.queue.waiting, metrics.family("router_queue_left_total")))
        metrics.read(partial(figures, http))
        metrics.read(ProcessFigures())
        metrics.read(partial(self._figures, service))
        pages = Pages(
            lambda: runner.catalogue,
            auth,
            service,
            metrics.expose if shift is None else shift.expose,
            store.view,
            store.candidates,
            None if shift is None else shift.number,
        )
        server = EdgeServer(
            GenericHandler(service, pages, settings.max_body_bytes, settings.body_timeout, rng),
            hot=dict(HOT) if settings.fast_path else {},
            fast_options={
                "service": service,
                "max_body_bytes": settings.max_body_bytes,
                "body_timeout": settings.body_timeout,
                "date": HttpDate(time.time),
            },
            access_log=None,
            keepalive_timeout=KEEPALIVE_TIMEOUT,
        )
        self._listener = Listener(server, service)

    def _figures(self, service: Service) -> Iterator[Sample]:
        """The process' own."""
        yield "router_in_flight_requests", (), float(service.in_flight)
        yield "router_draining", (), float(service.draining)
        yield "router_log_dropped_lines_total", (), float(self.log.dropped)
        if self._access_log is not None:
            yield "router_access_log_dropped_lines_total", (), float(self._access_log.dropped)
        sharing = self._sharing
        yield "router_state_degraded", (), float(sharing is not None and sharing.degraded)
        yield "router_state_replicas", (), float(1 if sharing is None else sharing.live)
        if sharing is not None:
            for reason, count in sharing.failures.items():
                yield "router_state_failures_total", (reason,), float(count)
        if self._tracing is not None:
            yield "router_traces_total", ("sent",), float(self._tracing.sent)
            yield "router_traces_total", ("dropped",), float(self._tracing.dropped)
        if self._strict is not None:
            for outcome, count in self._strict.outcomes.items():
                yield "router_state_strict_total", (outcome,), float(count)

    async def start(self) -> int:
        """Listen; returns the port. Raises OSError."""
        self._lag.start()
        if self._sharing is not None:
            self._background.append(asyncio.create_task(self._sharing.run()))
        if self._strict is not None:
            self._background.append(asyncio.create_task(self._strict.run()))
        self._entra.start()
        if self._counter is not None:
            self._counter.start(self._store.routes.catalogue.encodings())
        if self._shift is not None:
            port = self._listener.share(self._shift.sockets)
        else:
            port = await self._listener.start(self._settings.host, self._settings.port)
        self._prober.configure(self._store.routes.catalogue)
        if self._shift is not None:
            return port
        self.log.logger.info(
            "listening", host=self._settings.host, port=port, keys=len(self._keys),
            auth="required" if self._keys else "off: no keys are configured, so only this machine may connect",
        )  # fmt: skip
        return port

    def prepare(self, config: Config) -> Change:
        """Everything that `adopt` needs worked out. Changes nothing, and may run on another thread, one at a time.

        Raises ConfigError where this process cannot serve by it, however right it is for one that is started anew.
        """
        fixed = fixed_settings(self._started_with, config.settings)
        try:
            ways = self._entra.ways(identities(config.catalogue))
        except ImportError as error:
            raise ConfigError([str(error)]) from error
        return Change(config, keys_of(config), self._store.prepare(config.catalogue), ways, fixed)

    def adopt(self, change: Change) -> None:
        """Serve by it from now on, all of it at once. Requests under way end on what they began with."""
        self._keys = change.keys
        self._auth.replace(change.keys)
        self._store.adopt(change.routes)
        self._entra.follow(change.ways)
        self._prober.configure(change.config.catalogue)
        server = change.config.settings.server
        self._runner.sse_keepalive = server.sse_keepalive
        self._service.max_concurrent_requests = server.max_concurrent_requests
        self._drain = (server.drain_delay, server.drain_seconds)

    async def stop(self) -> None:
        """Drain, then close everything."""
        delay, seconds = self._drain
        self.log.logger.info("draining", delay=delay, seconds=seconds)
        await self._listener.drain(delay, seconds)
        self._lag.stop()
        await self._prober.close()
        for task in self._background:
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)
        await self._entra.stop()
        if self._counter is not None:
            await self._counter.stop()
        for upstream in {id(item): item for item in self._upstreams.values()}.values():
            await upstream.close()
        await self._templates.close()
        self.log.logger.info("stopped")
        if self._access_log is not None:
            self._access_log.close()
        if self._tracing is not None:
            self._tracing.close()
        self.log.close()


def sharing_of(
    config: Config, store: MemoryStore, observe: EventBus, clock: Clock, rng: Random, local: Medium | None
) -> Sharing | None:
    """The exchange with other replicas, which `run` begins: through Redis, else through `local`; None without both."""
    state = config.settings.state
    url = state.redis_url.get_secret_value()
    medium = local
    if url:
        from router.state.redis.client import connect  # who shares nothing does not load it
        from router.state.redis.exact import RedisExact
        from router.state.redis.link import dialer
        from router.state.redis.medium import RedisMedium

        address = parse_redis_url(url)
        connect_to = partial(connect, address)
        medium = RedisMedium(connect_to, state.namespace, dial=dialer(address))
    if medium is None:
        return None
    soonest = None if url else LOCAL_TRADES_APART
    sharing = Sharing(token_hex(8), store, medium, observe, clock, rng, state.sync_interval, soonest)
    if url:
        store.strict = StrictLimits(RedisExact(connect_to, state.namespace), lambda: sharing.degraded, clock)
    for kind in HEARS:
        observe.on(kind, sharing.outbox)
    return sharing


def access_log_of(config: Config) -> AccessLog | None:
    """Raises OSError where its file cannot be opened."""
    path, files = config.settings.server.access_log, config.settings.telemetry.access_log
    return None if path is None else AccessLog(path, files.max_bytes, files.files)


def tracing_of(config: Config, rng: Random, log: Log) -> Tracing | None:
    """None where nothing is traced. Raises ImportError where the extra `otel` is missing."""
    settings = config.settings.telemetry.tracing
    if settings.endpoint is None:
        return None
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    sys.setswitchinterval(SWITCH_SECONDS)
    sender = OtlpSender(settings.endpoint, headers, settings.service_name, settings.timeout)
    return Tracing(sender, settings.sample_ratio, settings.content, rng, log.traces)
