"""What several workers have counted together, those that have died included."""

from __future__ import annotations

from typing import Any

from router.telemetry.cells import Cell, Labels, Snapshot, merge
from router.telemetry.exposition import in_slices
from router.telemetry.table import ROWS

Told = dict[str, list[tuple[list[str], Cell]]]
"""A snapshot as JSON has it, whose keys are texts only."""


class Changes:
    """A worker's side: what is different from what was told before."""

    def __init__(self) -> None:
        self._told: Snapshot = {}

    async def since(self, snapshot: Snapshot) -> Told:
        """The cells of `snapshot` that have changed, looked for in slices; they count as told from now on."""
        found: Told = {}

        def look(place: tuple[str, Labels, Cell]) -> None:
            name, labels, cell = place
            told = self._told.setdefault(name, {})
            if told.get(labels) != cell:
                told[labels] = cell[:]
                found.setdefault(name, []).append((list(labels), told[labels]))

        places = ((name, labels, cell) for name, cells in snapshot.items() for labels, cell in list(cells.items()))
        await in_slices(places, look)
        return found


def told(snapshot: Snapshot) -> Told:
    """All of it."""
    return {name: [(list(labels), cell[:]) for labels, cell in cells.items()] for name, cells in snapshot.items()}


class Totals:
    """The supervisor's side. Workers are known by any name, each life of one by another."""

    def __init__(self) -> None:
        self._counted: dict[Any, Snapshot] = {}
        self._read: dict[Any, Snapshot] = {}
        self._gone: Snapshot = {}

    def changed(self, worker: Any, changes: Told) -> None:
        """What the worker counts, as far as it has changed."""
        known = self._counted.setdefault(worker, {})
        for name, cells in _snapshot(changes).items():
            known.setdefault(name, {}).update(cells)

    def read(self, worker: Any, now: Told) -> None:
        """What is only read when somebody asks, all of it."""
        self._read[worker] = _snapshot(now)

    def lost(self, worker: Any) -> None:
        """It has died: what it has counted stays, what it was is over."""
        last = (self._counted.pop(worker, {}), self._read.pop(worker, {}))
        kept = [{name: cells for name, cells in each.items() if ROWS[name].type != "gauge"} for each in last]
        self._gone = merge([self._gone, *kept])

    def sum(self, own: Snapshot) -> Snapshot:
        """Everybody's, and `own`: the supervisor's."""
        return merge([own, self._gone, *self._counted.values(), *self._read.values()])


def _snapshot(told: Told) -> Snapshot:
    return {name: {tuple(labels): cell for labels, cell in cells} for name, cells in told.items()}
