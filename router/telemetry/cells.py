"""What is counted, as plain lists of numbers in plain dictionaries: written for next to nothing, merged by adding up.

A cell is what one metric has for one set of label values: of a counter or a gauge its one number, of a histogram the
count of each bucket, of what is above the last bound, and at the end the sum. Whoever counts often keeps the cell and
adds to it; a cell stays the same list for as long as the process lives. One thread writes: the event loop's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from router.telemetry.table import ROWS, Row

Labels = tuple[str, ...]
Cell = list[float]
Snapshot = dict[str, dict[Labels, Cell]]
"""Cells by metric and label values: what one process has counted. Fit for pickling and JSON's friends alike."""

MOST_CELLS = 20_000
"""Of one metric, as the last resort: label values are bounded by the configuration, and that by nothing."""
OVERFLOW = "other"


class Family:
    """The cells of one metric of the table."""

    __slots__ = ("bounds", "cells", "row")

    def __init__(self, name: str) -> None:
        self.row: Row = ROWS[name]
        self.bounds = self.row.bounds
        self.cells: dict[Labels, Cell] = {}

    def cell(self, labels: Labels) -> Cell:
        """The cell of these label values, made where there is none yet."""
        found = self.cells.get(labels)
        if found is None:
            if len(self.cells) >= MOST_CELLS:
                labels = (OVERFLOW,) * len(labels)
            found = self.cells.setdefault(labels, empty(self.row))
        return found

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        self.cell(labels)[0] += amount

    def observe(self, labels: Labels, value: float) -> None:
        cell = self.cell(labels)
        cell[bisect_left(self.bounds, value)] += 1.0
        cell[-1] += value


def empty(row: Row) -> Cell:
    """A cell in which nothing has been counted."""
    return [0.0] * (len(row.bounds) + 2) if row.type == "histogram" else [0.0]


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """What several processes have counted together; of gauges the sum, the largest or the smallest, as the table says.

    The snapshots are left as they are.
    """
    merged: Snapshot = {}
    for snapshot in snapshots:
        for name, cells in snapshot.items():
            ours, how = merged.setdefault(name, {}), ROWS[name].merge
            for labels, cell in cells.items():
                known = ours.get(labels)
                if known is None:
                    ours[labels] = cell[:]
                elif how == "sum":
                    ours[labels] = [one + other for one, other in zip(known, cell, strict=True)]
                else:
                    known[0] = max(known[0], cell[0]) if how == "max" else min(known[0], cell[0])
    return merged
