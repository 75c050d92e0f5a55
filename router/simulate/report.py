"""The result as tables for people, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

from router.core.simulator.summary import Interval, Summary
from router.simulate.study import Row, Study

_TIMES = (
    *("first_token_p50", "first_token_p95", "first_token_p99"),
    *("total_p50", "total_p95", "total_p99"),
)
_COUNTS = ("failures", "rate_limited", "retries")


def name_of(row: Row) -> str:
    return " ".join(part for part in (row.config, row.strategy) if part) or "as configured"


def heading(study: Study) -> str:
    """One line on what was simulated."""
    options = study.options
    seeds = len(options.seeds)
    parts = [
        f"{len(study.trace.requests):,} requests of {options.trace.name} in {study.trace.seconds:,.0f} s",
        f"rate × {study.rate:.3g}",
        f"load {study.load:.0%}",
        f"{seeds} seed{'s' if seeds > 1 else ''}",
    ]
    if options.replicas > 1:
        parts.append(f"{options.replicas} replicas, {options.staleness:g} s stale")
    return ", ".join(parts)


def tables(study: Study, summaries: Sequence[Summary]) -> list[Table]:
    """In Markdown's form, so that they can go into a page as they stand. Times in seconds, cost in US dollars."""
    pairs = [(name_of(row), summary) for row, summary in zip(study.rows, summaries, strict=True)]
    return [_figures(pairs), _shares(pairs)]


def document(study: Study, summaries: Sequence[Summary]) -> dict[str, Any]:
    """Everything, for `--json`. `half_width` is that of the 95 % interval over the seeds."""
    options = study.options
    return {
        "trace": options.trace.name,
        "requests": len(study.trace.requests),
        "skipped": study.trace.skipped,
        "seconds": study.trace.seconds,
        "rate": study.rate,
        "load": study.load,
        "seeds": list(options.seeds),
        "replicas": options.replicas,
        "staleness": options.staleness,
        "rows": [
            {
                "config": row.config or options.configs[0].stem,
                "strategy": row.strategy or None,
                "figures": {name: _json(value) for name, value in summary.of.items()},
                "shares": {name: _json(value) for name, value in summary.shares.items()},
                "errors": summary.errors,
                "attempt_failures": summary.attempt_failures,
                "rejections": summary.rejections,
            }
            for row, summary in zip(study.rows, summaries, strict=True)
        ],
    }


def _figures(pairs: Sequence[tuple[str, Summary]]) -> Table:
    hedged = ["hedges"] if any(summary.of["hedges"].mean for _, summary in pairs) else []
    table = _table(
        *("TTFT p50", "p95", "p99", "total p50", "p95", "p99"), "failures", "429s", "retries", *hedged, "attempts",
        "cost $",
    )  # fmt: skip
    for name, summary in pairs:
        of = summary.of
        table.add_row(
            name,
            *(_cell(of[key], 2) for key in _TIMES),
            *(_cell(of[key], 0) for key in (*_COUNTS, *hedged)),
            _cell(of["attempts_per_request"], 3),
            _cell(of["cost"], 2),
        )
    return table


def _shares(pairs: Sequence[tuple[str, Summary]]) -> Table:
    names = sorted({name for _, summary in pairs for name in summary.shares})
    table = _table(*names)
    for row, summary in pairs:
        table.add_row(row, *(_share(summary.shares.get(name)) for name in names))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.MARKDOWN)
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _cell(value: Interval, digits: int) -> str:
    half = f" ± {value.half:,.{digits}f}" if value.half else ""
    return f"{value.mean:,.{digits}f}{half}"


def _share(value: Interval | None) -> str:
    return "0 %" if value is None else f"{value.mean * 100.0:.1f} %"


def _json(value: Interval) -> dict[str, float]:
    return {"mean": value.mean, "half_width": value.half}
