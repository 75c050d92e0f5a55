"""Prometheus' text format, written piece by piece so that nobody has to wait for all of it.

The families of `prometheus_client` would be made anew, label by label, for every scrape: with hundreds of deployments
that holds up the event loop for tens of milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import TypeVar

from router.telemetry.cells import Cell, Labels, Snapshot
from router.telemetry.table import ROWS, Row

SLICE_SECONDS = 0.001
"""How long a scrape goes on before it lets the event loop do something else."""
_LINES = 50
"""Cells in one piece of text: a piece is far shorter than a slice."""

T = TypeVar("T")


async def in_slices(items: Iterable[T], take: Callable[[T], object]) -> None:
    """Hand each item to `take`, giving way to the event loop's other tasks every millisecond."""
    until = perf_counter() + SLICE_SECONDS
    for item in items:
        take(item)
        if perf_counter() >= until:
            await asyncio.sleep(0)
            until = perf_counter() + SLICE_SECONDS


async def expose(snapshot: Snapshot) -> bytes:
    """The whole text, written in slices."""
    pieces: list[str] = []
    await in_slices(render(snapshot), pieces.append)
    return "".join(pieces).encode()


def render(snapshot: Snapshot) -> Iterator[str]:
    """The text, in pieces; metrics in the table's order."""
    for name, row in ROWS.items():
        cells = snapshot.get(name)
        if cells:
            yield f"# HELP {name} {_escape_help(row.help)}\n# TYPE {name} {row.type}\n"
            lines = _histogram if row.type == "histogram" else _number
            yield from _pieces(row, list(cells.items()), lines)


def _pieces(row: Row, cells: list[tuple[Labels, Cell]], lines: Callable[[Row, str, Cell], str]) -> Iterator[str]:
    places = sorted((name, at) for at, name in enumerate(row.labels))

    def line(labels: Labels, cell: Cell) -> str:
        return lines(row, ",".join([f'{name}="{_escape(labels[at])}"' for name, at in places]), cell)

    for start in range(0, len(cells), _LINES):
        yield "".join([line(labels, cell) for labels, cell in cells[start : start + _LINES]])


def _number(row: Row, labels: str, cell: Cell) -> str:
    return f"{row.name}{{{labels}}} {cell[0]!r}\n" if labels else f"{row.name} {cell[0]!r}\n"


def _histogram(row: Row, labels: str, cell: Cell) -> str:
    start, total, lines = f'{row.name}_bucket{{{labels}{"," if labels else ""}le="', 0.0, []
    for bound, count in zip(row.bounds, cell, strict=False):
        total += count
        lines.append(f'{start}{bound!r}"}} {total!r}\n')
    total += cell[-2]
    place = f"{{{labels}}}" if labels else ""
    lines.append(f'{start}+Inf"}} {total!r}\n{row.name}_count{place} {total!r}\n{row.name}_sum{place} {cell[-1]!r}\n')
    return "".join(lines)


def _escape(value: str) -> str:
    if value.isalnum():
        return value
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
