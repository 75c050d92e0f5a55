"""What a run found, and what it ran on; as a whole, for the table, the file and the plot."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Self

from bench.measure import Results
from bench.ring import Ring
from bench.stats import Interval, ratio

REFERENCES = ("nginx", "vllm-router")


@dataclass(slots=True)
class Record:
    date: str
    machine: str
    rounds: int
    seconds: int
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Why a contender is not in the run at all."""
    ready: dict[str, list[float]] = field(default_factory=dict)
    """Seconds to the first good reply, of each start."""
    rss: dict[str, list[float]] = field(default_factory=dict)
    """Resident bytes once ready, of each start."""
    results: dict[str, Results] = field(default_factory=dict)
    """By measure."""
    sustained: dict[str, int] = field(default_factory=dict)
    """Streams; `direct` is what upstream and load bear with nothing between."""

    @classmethod
    def of_this_machine(cls, rounds: int, seconds: int) -> Self:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
        kind = f"{len(os.sched_getaffinity(0))} cores, {model}, Python {platform.python_version()}"
        return cls(datetime.now(UTC).isoformat(timespec="seconds"), kind, rounds, seconds)

    def started(self, ring: Ring) -> None:
        for name, failure in ring.failures.items():
            self.failures[name] = failure
        for runner in ring.runners:
            if runner.process is not None:
                self.ready.setdefault(runner.name, []).append(runner.ready)
                self.rss.setdefault(runner.name, []).append(float(runner.process.rss()))

    def ratio(self, measure: str, key: str, name: str, reference: str) -> Interval | None:
        """Over the reference, paired by round."""
        results = self.results.get(measure)
        if results is None or name == reference or reference not in results.samples or name not in results.samples:
            return None
        return ratio(results.column(name, key), results.column(reference, key))

    def middle(self, measure: str, key: str, name: str) -> float | None:
        results = self.results.get(measure)
        return results.middle(name, key) if results else None

    def added(self, measure: str, key: str, name: str) -> float | None:
        """The median over rounds of what the contender adds to going straight to the upstream."""
        results = self.results.get(measure)
        if results is None or name not in results.samples:
            return None
        pairs = zip(results.column(name, key), results.column("direct", key), strict=True)
        values = [mine - direct for mine, direct in pairs if mine is not None and direct is not None]
        return median(values) if values else None

    def others(self) -> float | None:
        """The share of the contenders' core that went to processes outside the benchmark."""
        columns = [results.column(name, "others") for results in self.results.values() for name in self.versions]
        values = [value for column in columns for value in column if value is not None]
        return median(values) if values else None

    def document(self) -> dict[str, object]:
        """Everything, with the ratios, for JSON. Times in seconds, sizes in bytes."""
        ratios = {
            f"{measure}.{key}": {
                name: {reference: interval_of(self.ratio(measure, key, name, reference)) for reference in REFERENCES}
                for name in self.versions
            }
            for measure, key in (("requests", "per_second"), ("requests", "cpu"), ("streams", "cpu"))
        }
        return {**asdict(self), "ratios": ratios}


def interval_of(interval: Interval | None) -> dict[str, float] | None:
    return asdict(interval) if interval else None
