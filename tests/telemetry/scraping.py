"""Reads an exposition as Prometheus does."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Only(Collector):
    """A collector of given families."""

    def __init__(self, *families: Metric) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        yield from self.families


def exposed(*families: Metric) -> bytes:
    registry = CollectorRegistry()
    registry.register(Only(*families))
    return generate_latest(registry)


def samples(text: bytes) -> Samples:
    """Every sample by its name and labels; none may stand twice."""
    found: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            place = (sample.name, frozenset(sample.labels.items()))
            assert place not in found, f"{place} stands twice"
            found[place] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))
