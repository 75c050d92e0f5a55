"""The plot: CPU per request and per event, and requests per second. Only where matplotlib is installed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from bench.record import Record

PANELS = (
    ("requests", "per_second", 1.0, "requests/s on one core"),
    ("requests", "cpu", 1e6, "CPU µs per request"),
    ("streams", "cpu", 1e6, "CPU µs per streamed event"),
)


def draw(record: Record, path: Path) -> Path | None:
    """Draws one bar per contender with its range over the rounds; returns None without matplotlib."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ImportError:
        return None
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    panels = [panel for panel in PANELS if panel[0] in record.results]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5 * len(panels), 4), squeeze=False, layout="constrained")
    for axis, (measure, key, scale, title) in zip(axes[0], panels, strict=True):
        results = record.results[measure]
        bars = {name: [value * scale for value in results.column(name, key) if value] for name in record.versions}
        bars = {name: values for name, values in bars.items() if values}
        middles = [(results.middle(name, key) or 0) * scale for name in bars]
        below = [middle - min(values) for middle, values in zip(middles, bars.values(), strict=True)]
        above = [max(values) - middle for middle, values in zip(middles, bars.values(), strict=True)]
        axis.barh(list(bars), middles, xerr=[below, above], color="#4477aa", ecolor="#bbbbbb")
        axis.set_xscale("log")
        axis.set_title(title)
        axis.invert_yaxis()
    figure.suptitle(f"{record.date} · {record.machine}", fontsize=8)
    figure.savefig(path, dpi=150)
    return path
