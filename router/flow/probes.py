"""Active probes: ask a deployment's own health page now and then, so that no request has to find out that it is down.

One task for each backend that has a `health_check`. A probe is a GET on the deployment's host through the client that
serves requests, never a call of a model. What comes of it goes to the backend's breaker: failures in a row open it, and
a good answer closes what probes or refused connections had opened. After a failure the next probe comes soon, so that
`allowed_fails` of them do not take as many intervals. Times are spread by a tenth, or replicas would probe together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from router.core.catalogue import Catalogue
from router.core.clock import Clock
from router.core.errors import FailureKind, UpstreamFailure
from router.core.events import Observer, Probed
from router.core.types import Deployment, HealthCheck
from router.dialects.probe import probe_request
from router.state.base import StateStore
from router.upstream.base import Timing, Upstream

PATIENCE = 5.0
"""Seconds for one probe; less where the interval is shorter, but never below a second."""
AGAIN = 1.0
"""Seconds after a failure until the next probe of a backend that is still in use, where the interval is longer."""
SPREAD = 0.1
_NEVER = float("inf")


class _Watched(NamedTuple):
    """What is probed, and how: whatever of this a reload changes makes it another probe."""

    backend: str
    api_base: str
    check: HealthCheck


class Prober:
    """`upstreams` by the scheme of an origin."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        state: StateStore,
        observer: Observer,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._upstreams = upstreams
        self._state = state
        self._observer = observer
        self._clock = clock
        self._rng = rng
        self._tasks: dict[_Watched, asyncio.Task[None]] = {}

    def configure(self, catalogue: Catalogue) -> None:
        """Probe what this catalogue says from now on. Probes that stay the same go on undisturbed."""
        wanted = _watched(catalogue)
        for watched in self._tasks.keys() - wanted.keys():
            self._tasks.pop(watched).cancel()
        loop = asyncio.get_running_loop()
        for watched, deployment in wanted.items():
            if watched not in self._tasks:
                self._tasks[watched] = loop.create_task(self._watch(deployment, watched.check))

    async def close(self) -> None:
        """End all of them."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _watch(self, deployment: Deployment, check: HealthCheck) -> None:
        await asyncio.sleep(self._rng.random() * min(check.interval, AGAIN))
        while True:
            failure = await self._probe(deployment, check)
            pause = check.interval * (1.0 + SPREAD * (2.0 * self._rng.random() - 1.0))
            hold = pause + 2.0 * _patience(check)  # until the next probe has been answered, or has not
            in_use = self._state.probed(deployment, failure, hold)
            self._observer(Probed(deployment.id, "ok" if failure is None else failure.value))
            await asyncio.sleep(min(pause, AGAIN) if failure is not None and in_use else pause)

    async def _probe(self, deployment: Deployment, check: HealthCheck) -> FailureKind | None:
        """Ask once; None where the answer is a success."""
        wire = probe_request(deployment, check.path)
        patience = _patience(check)
        timing = Timing(self._clock() + patience, patience, _NEVER, patience)
        try:
            response = await self._upstreams[wire.origin.scheme].send(wire, timing)
        except UpstreamFailure as failure:
            return failure.kind
        if response.stream is not None:
            response.stream.abort()
        return None if 200 <= response.status < 300 else FailureKind.SERVER_ERROR


def _patience(check: HealthCheck) -> float:
    return min(PATIENCE, max(check.interval, AGAIN))


def _watched(catalogue: Catalogue) -> dict[_Watched, Deployment]:
    """What to probe, each with a deployment that stands for it. Of several entries for one backend the first counts."""
    found: dict[str, tuple[_Watched, Deployment]] = {}
    for group in (*catalogue.groups.values(), *catalogue.wildcards):
        for tier in group.tiers:
            for deployment in tier:
                check = deployment.health_check
                if check is not None and deployment.enabled:
                    watched = _Watched(deployment.backend, deployment.api_base, check)
                    found.setdefault(deployment.backend, (watched, deployment))
    return dict(found.values())
