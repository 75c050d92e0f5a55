"""The tables of a run, as Markdown, and its files under bench/results/."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import floor, log10
from pathlib import Path

from bench import plot
from bench.record import REFERENCES, Record
from bench.stats import Interval

RESULTS = Path(__file__).parent / "results"
NONE = "–"


def markdown(record: Record) -> str:
    parts = [f"{record.date} · {record.machine} · {record.rounds} rounds of {record.seconds} s"]
    others = record.others()
    if others is not None:
        parts.append(f"Other processes took {others:.0%} of the contenders' core (median of all samples).")
    sections = {"requests": _requests, "latency": _latency, "streams": _streams}
    parts += [section(record) for measure, section in sections.items() if measure in record.results]
    parts.append(_processes(record))
    problems = [f"- **{name}**: {why}" for name, why in record.failures.items()]
    for measure, results in record.results.items():
        for name, why in results.failures.items():
            rounds = f"{results.missed(name)} of {len(results.samples[name])} rounds"
            problems.append(f"- **{name}**, {measure}, {rounds}: {why}")
    if problems:
        parts.append("Left out, and why:\n\n" + "\n".join(problems))
    return "\n\n".join(parts) + "\n"


def write(record: Record) -> list[Path]:
    """Writes the table, the data and, where matplotlib is installed, the plot."""
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / record.date.replace(":", "").replace("+0000", "Z")
    table, data = stem.with_suffix(".md"), stem.with_suffix(".json")
    table.write_text(markdown(record))
    data.write_text(json.dumps(record.document(), indent=1))
    drawing = plot.draw(record, stem.with_suffix(".png"))
    return [table, data, *([drawing] if drawing else [])]


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"**{title}**", "", "| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _number(value: float | None, scale: float = 1, digits: int = 0) -> str:
    return NONE if value is None else f"{value * scale:,.{digits}f}"


def _ratio(interval: Interval | None) -> str:
    if interval is None:
        return NONE
    digits = max(0, 2 - floor(log10(interval.median)))  # three significant ones
    return f"**{interval.median:,.{digits}f}** ({interval.low:,.{digits}f}–{interval.high:,.{digits}f})"


def _ratios(record: Record, measure: str, key: str, name: str) -> list[str]:
    return [_ratio(record.ratio(measure, key, name, reference)) for reference in REFERENCES]


def _over(what: str) -> list[str]:
    return [f"{what} over {reference}'s" for reference in REFERENCES]


def _requests(record: Record) -> str:
    rows = []
    for name in record.versions:
        cells = [_number(record.middle("requests", "per_second", name))]
        cells += _ratios(record, "requests", "per_second", name)
        cells.append(_number(record.middle("requests", "cpu", name), 1e6))
        cells += _ratios(record, "requests", "cpu", name)
        cells += [_number(record.middle("requests", "busy", name), 100)]
        cells += [_number(record.middle("requests", key, name), 1e3, 2) for key in ("p50", "p99")]
        rows.append([name, *cells])
    heads = [
        "requests/s",
        *_over("requests/s"),
        "CPU µs per request",
        *_over("CPU"),
        "its core busy, %",
        "p50 ms",
        "p99 ms",
    ]
    table = _table("As many requests as it answers, over 32 connections", heads, rows)
    times = record.ratio("requests", "per_second", "router", "litellm")
    return table + (f"\n\nThe router's requests/s over LiteLLM's: {_ratio(times)}." if times else "")


def _latency(record: Record) -> str:
    rows = []
    for name in ("direct", *record.versions):
        cells = [_number(record.middle("latency", "rate", name))]
        cells += [_number(record.middle("latency", key, name), 1e3, 2) for key in ("p50", "p99")]
        cells += [
            NONE if name == "direct" else _number(record.added("latency", key, name), 1e3, 2) for key in ("p50", "p99")
        ]
        rows.append([name, *cells])
    heads = ["requests/s offered", "p50 ms", "p99 ms", "added to p50, ms", "added to p99, ms"]
    return _table("Latency at a fixed rate", heads, rows)


def _streams(record: Record) -> str:
    limit = record.sustained.get("direct")
    rows = []
    for name in record.versions:
        cells = [
            _number(record.middle("streams", "streams", name)),
            _number(record.middle("streams", "cpu", name), 1e6, 1),
        ]
        cells += _ratios(record, "streams", "cpu", name)
        cells.append(_number(record.middle("streams", "delivered", name), 100))
        cells += [_number(record.added("streams", key, name), 1e3, 2) for key in ("first_p50", "first_p99")]
        most = record.sustained.get(name)
        cells.append(("≥ " if most and limit and most > 0.9 * limit else "") + _number(most))
        rows.append([name, *cells])
    heads = ["streams", "CPU µs per event", *_over("CPU per event"), "delivered, %"]
    heads += ["added to first token, p50 ms", "p99 ms", "sustained streams"]
    table = _table("Streams of 40 events/s each", heads, rows)
    return table + (f"\n\nUpstream and load alone sustain {limit:,} streams." if limit else "")


def _processes(record: Record) -> str:
    rows = []
    for name, version in record.versions.items():
        ready, rss = min(record.ready.get(name, []), default=None), max(record.rss.get(name, []), default=None)
        loaded = record.middle("requests", "rss", name)
        rows.append([name, version, _number(ready, 1, 2), _number(rss, 2**-20), _number(loaded, 2**-20)])
    return _table("The processes", ["version", "s to ready", "RSS ready, MiB", "RSS under load, MiB"], rows)
