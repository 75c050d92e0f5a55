"""Reads an exposition as Prometheus does."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from router.core.events import Event
from router.telemetry.bus import EventBus
from router.telemetry.cells import Family, Snapshot
from router.telemetry.exposition import render
from router.telemetry.metrics import Metrics

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Every sample by its name and labels; none may stand twice."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            place = (sample.name, frozenset(sample.labels.items()))
            assert place not in found, f"{place} stands twice"
            found[place] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def of(snapshot: Snapshot) -> Samples:
    return samples("".join(render(snapshot)))


def shown(*families: Family) -> Samples:
    return of({family.row.name: family.cells for family in families})


def listening(*events: Event) -> tuple[Metrics, EventBus]:
    """Metrics that have heard of `events`, and the bus on which they listen."""
    metrics, bus = Metrics(), EventBus()
    metrics.listen(bus)
    for event in events:
        bus(event)
    return metrics, bus


async def scraped(metrics: Metrics) -> Samples:
    return samples((await metrics.expose()).decode())
