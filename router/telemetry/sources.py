"""What is read only when somebody scrapes: the deployments as they stand, and the process itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector

from router import __version__
from router.core.breaker import BreakerState
from router.core.clock import Clock
from router.core.limits import headroom
from router.core.load import Candidate
from router.telemetry.cells import Family
from router.telemetry.metrics import Sample
from router.telemetry.table import ROWS

STATES = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 1.0, BreakerState.OPEN: 2.0}


def deployments(load: Callable[[], Iterable[Candidate]], clock: Clock) -> Iterator[Sample]:
    """Every deployment's load and health at this moment."""
    for candidate in load():
        deployment, known = candidate.deployment, candidate.load
        now = clock()
        place = (deployment.model_name, deployment.id)
        yield "router_deployment_info", (*place, deployment.provider), 1.0
        yield "router_deployment_in_flight", place, float(known.in_flight)
        yield "router_deployment_breaker_state", place, STATES[known.breaker.state(now)]
        yield "router_deployment_cooldown_seconds", place, max((known.breaker.open_until or now) - now, 0.0)
        yield "router_deployment_keys_resting", place, float(sum(key.until > now for key in known.keys))
        if deployment.limits is not None or known.heard:
            yield "router_deployment_headroom_ratio", place, headroom(candidate, now)


def queues(waiting: Callable[[], Mapping[str, int]], left: Family) -> Iterator[Sample]:
    """A model's queue is known once somebody has stood in it: `left` counts who has left it."""
    now = waiting()
    for model in {*now, *(labels[0] for labels in left.cells)}:
        yield "router_queue_waiting", (model,), float(now.get(model, 0))


class ProcessFigures:
    """What `prometheus_client` knows of this process, as far as the table has it; and which version it runs."""

    def __init__(self) -> None:
        self._collector = ProcessCollector(registry=CollectorRegistry())

    def __call__(self) -> Iterator[Sample]:
        yield "router_build_info", (__version__,), 1.0
        for family in self._collector.collect():
            for sample in family.samples:
                if sample.name in ROWS:
                    yield sample.name, (), float(sample.value)
