"""Counters and histograms that cost a dict lookup, and how Prometheus reads them.

`prometheus_client`'s own children take a lock and scan their buckets for every observation; these are written by one
event loop only, and turned into the library's metric families when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

Labels = tuple[str, ...]


class Counter:
    __slots__ = ("help", "label_names", "name", "values")

    def __init__(self, name: str, help: str, label_names: Sequence[str]) -> None:
        self.name = name
        self.help = help
        self.label_names = label_names
        self.values: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        values = self.values
        values[labels] = values.get(labels, 0.0) + amount

    def family(self) -> CounterMetricFamily:
        family = CounterMetricFamily(self.name, self.help, labels=self.label_names)
        for labels, value in self.values.items():
            family.add_metric(labels, value)
        return family


class Histogram:
    """`bounds` are the upper bounds of the buckets, ascending; +Inf is implied."""

    __slots__ = ("bounds", "help", "label_names", "name", "rows")

    def __init__(self, name: str, help: str, label_names: Sequence[str], bounds: Sequence[float]) -> None:
        self.name = name
        self.help = help
        self.label_names = label_names
        self.bounds = tuple(bounds)
        self.rows: dict[Labels, list[float]] = {}

    def observe(self, labels: Labels, value: float) -> None:
        row = self.rows.get(labels)
        if row is None:
            row = self.rows[labels] = [0.0] * (len(self.bounds) + 2)
        row[bisect_left(self.bounds, value)] += 1.0
        row[-1] += value

    def family(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily(self.name, self.help, labels=self.label_names)
        for labels, row in self.rows.items():
            total = 0.0
            buckets = []
            for bound, count in zip((*self.bounds, float("inf")), row, strict=False):
                total += count
                buckets.append(("+Inf" if bound == float("inf") else repr(bound), total))
            family.add_metric(labels, buckets, row[-1])
        return family
