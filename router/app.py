"""The composition root: the only module that knows every concrete class."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from random import Random
from secrets import token_hex

from router.config.load import Config
from router.config.schema import KeySettings
from router.config.schema_deployment import strict_of
from router.core.catalogue import Catalogue
from router.core.clock import Clock
from router.core.events import Finished
from router.core.grants import Grants, parse_host
from router.core.redis_address import parse_redis_url
from router.core.types import NO_LIMITS, Budget, Limits, LimitSubject, Principal
from router.dialects.azure import EntraOptions, options_of
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
from router.flow.admission import KEY
from router.flow.probes import Prober
from router.flow.prompter import Prompter
from router.flow.runner import Runner
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
from router.telemetry.sources import ProcessFigures, deployments, queues
from router.telemetry.tracing import Tracing
from router.templates.renderer import TemplateRenderer
from router.upstream.aws import AwsUpstream
from router.upstream.base import GUARDED, Upstream
from router.upstream.client import HttpUpstream
from router.upstream.entra import EntraTokens
from router.upstream.figures import figures
from router.upstream.guard import GuardedUpstream
from router.upstream.inprocess import MockUpstream
from router.upstream.proxy import Proxies

KEEPALIVE_TIMEOUT = 75.0
"""Seconds an idle client connection is kept: longer than the usual 60 s of a balancer in front."""


SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter from the event loop where traces are sent: making them is work."""


class App:
    """Everything one process runs, wired together from a configuration. Lives on the running event loop."""

    def __init__(self, config: Config) -> None:
        settings = config.settings.server
        clock = time.monotonic  # the event loop's own clock, but for uvloop's rounding to milliseconds
        rng = Random()
        self._settings = settings
        self._keys = keys_of(config)
        self.log = Log()
        self._access_log = access_log_of(config)
        self._tracing = tracing_of(config, rng, self.log)
        observe = EventBus()
        self.log.listen(observe)
        if self._access_log is not None:
            observe.on(Finished, self._access_log)
        if self._tracing is not None:
            observe.on(Finished, self._tracing)
        store = MemoryStore(clock, observe, time.time)
        store.configure(config.catalogue)
        self._sharing = sharing_of(config, store, observe, clock, rng)
        self._strict = store.strict
        self._background: list[asyncio.Task[None]] = []
        self.metrics = metrics = Metrics()
        metrics.listen(observe)
        self._lag = LoopLag(metrics.family("router_event_loop_lag_seconds").cell(()))
        http = HttpUpstream(proxies=Proxies.read(os.environ))
        self._upstreams: dict[str, Upstream] = {"http": http, "https": http, "unix": http, "mock": MockUpstream()}
        self._upstreams[GUARDED] = GuardedUpstream()
        self._entra = EntraTokens(identities(config.catalogue), self.log.sign_in_failed)
        metrics.read(self._entra.samples)
        aws = AwsUpstream(http)
        self._upstreams |= {SIGNED + "http": aws, SIGNED + "https": aws}
        self._templates = TemplateRenderer()
        metrics.read(self._templates.samples)
        runner = Runner(
            dialects(self._entra),
            self._upstreams,
            store,
            observe,
            clock,
            rng,
            settings.sse_keepalive,
            Prompter(self._templates),
        )
        self._catalogue = config.catalogue
        self._prober = Prober(self._upstreams, store, observe, clock, rng)
        auth = Authenticator(self._keys, lambda: datetime.now(UTC).date())
        service = Service(
            Inference(runner, auth, clock),
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
        pages = Pages(config.catalogue, auth, service, metrics.expose, store.view, store.candidates)
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
        port = await self._listener.start(self._settings.host, self._settings.port)
        self._prober.configure(self._catalogue)
        self.log.logger.info(
            "listening", host=self._settings.host, port=port, keys=len(self._keys),
            auth="required" if self._keys else "off: no keys are configured, so only this machine may connect",
        )  # fmt: skip
        return port

    async def stop(self) -> None:
        """Drain, then close everything."""
        settings = self._settings
        self.log.logger.info("draining", delay=settings.drain_delay, seconds=settings.drain_seconds)
        await self._listener.drain(settings.drain_delay, settings.drain_seconds)
        self._lag.stop()
        await self._prober.close()
        for task in self._background:
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)
        await self._entra.stop()
        for upstream in {id(item): item for item in self._upstreams.values()}.values():
            await upstream.close()
        await self._templates.close()
        self.log.logger.info("stopped")
        if self._access_log is not None:
            self._access_log.close()
        if self._tracing is not None:
            self._tracing.close()
        self.log.close()


def sharing_of(config: Config, store: MemoryStore, observe: EventBus, clock: Clock, rng: Random) -> Sharing | None:
    """The exchange with other replicas, which `run` begins; None without Redis."""
    state = config.settings.state
    url = state.redis_url.get_secret_value()
    if not url:
        return None
    from router.state.redis.client import connect  # who shares nothing does not load it
    from router.state.redis.exact import RedisExact
    from router.state.redis.medium import RedisMedium

    connect_to = partial(connect, parse_redis_url(url))
    medium = RedisMedium(connect_to, state.namespace)
    sharing = Sharing(token_hex(8), store, medium, observe, clock, rng, state.sync_interval)
    store.strict = StrictLimits(RedisExact(connect_to, state.namespace), lambda: sharing.degraded)
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


def keys_of(config: Config) -> list[Key]:
    """The keys that open the door, the master key among them."""
    auth = config.settings.auth
    keys = [Key(item.key.get_secret_value(), principal_of(item), item.expires) for item in auth.keys]
    master = auth.master_key.get_secret_value()
    if master:
        keys.append(Key(master, Principal("master", (), admin=True)))
    return keys


def principal_of(key: KeySettings) -> Principal:
    """Who a configured key stands for, and within which limits."""
    rpm, tpm = (None if limit is None else limit.limit for limit in (key.rpm, key.tpm))
    limits = Limits(rpm, tpm, key.max_parallel_requests, strict_of(key.rpm, key.tpm))
    budget = None if key.max_budget is None else Budget(key.max_budget, key.budget_period)
    subject = None if limits == NO_LIMITS and budget is None else LimitSubject(KEY + key.name, limits, budget)
    grants = Grants(frozenset(key.allow), frozenset(map(parse_host, key.allowed_hosts))) if key.allow else None
    models = tuple(key.models)
    return Principal(key.name, models, priority=key.priority, subject=subject, team=key.team or "", grants=grants)


def identities(catalogue: Catalogue) -> list[EntraOptions]:
    """Whom to sign in with Entra ID."""
    groups = (*catalogue.groups.values(), *catalogue.wildcards)
    deployments = [deployment for group in groups for tier in group.tiers for deployment in tier]
    found = [options_of(deployment).entra for deployment in deployments if deployment.provider == "azure"]
    return [identity for identity in found if identity is not None]


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this process have: every request holds two sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settle_garbage_collector() -> None:
    """Leave what was loaded out of every later collection, and collect less often: requests leave next to no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def serve(config: Config) -> None:
    """Run until SIGTERM or SIGINT, then drain; a second signal ends at once. Raises OSError where it cannot listen."""
    raise_file_limit()
    app = App(config)
    await app.start()
    settle_garbage_collector()
    loop = asyncio.get_running_loop()
    leave = asyncio.Event()
    stopping: asyncio.Task[None] | None = None

    def signalled() -> None:
        leave.set()
        if stopping is not None:
            stopping.cancel()

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, signalled)
    await leave.wait()
    stopping = loop.create_task(app.stop())
    await asyncio.wait([stopping])
