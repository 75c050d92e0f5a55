"""The verb `simulate`: runs a study, with a progress bar on standard error, and shows what came of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from router.core.simulator.foreseen import ORACLE
from router.core.simulator.summary import Summary
from router.core.strategies import STRATEGIES
from router.simulate.errors import SimulateError
from router.simulate.plot import load_matplotlib, plot
from router.simulate.report import document, heading, name_of, tables
from router.simulate.study import Options, Study, open_study, run_study

_WIDTH = 400
"""Columns of output that goes to a file or a pipe: no table is broken there."""


def run(options: Options, *, as_json: bool, picture: Path | None, jobs: int | None) -> None:
    """Raises ConfigError, SimulateError."""
    for strategy in options.strategies:
        if strategy not in STRATEGIES and strategy != ORACLE:
            raise SimulateError(f"unknown strategy {strategy}; known are {', '.join(sorted([*STRATEGIES, ORACLE]))}")
    if picture is not None:
        load_matplotlib()  # before the work, not after it
    study = open_study(options)
    summaries = _run(study, jobs)
    if as_json:
        typer.echo(json.dumps(document(study, summaries), indent=2))
    else:
        _show(study, summaries)
    if picture is not None:
        plot(picture, heading(study), [(name_of(row), one) for row, one in zip(study.rows, summaries, strict=True)])


def _run(study: Study, jobs: int | None) -> list[Summary]:
    runs = len(study.rows) * len(study.options.seeds)
    console = Console(stderr=True)
    columns = (
        TextColumn("simulating"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("requests"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=runs * len(study.trace.requests))
        return run_study(study, min(jobs or os.cpu_count() or 1, runs), lambda more: bar.advance(task, more))


def _show(study: Study, summaries: list[Summary]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(heading(study), highlight=False)
    for table in tables(study, summaries):
        console.print(table)
    if study.trace.skipped:
        console.print(f"{study.trace.skipped} lines of the log tell of no served request and were left out")
