"""How late the event loop is: what every request under way waits for as well."""

from __future__ import annotations

import asyncio
from bisect import bisect_left

from router.telemetry.cells import Cell
from router.telemetry.table import LAG_SECONDS

INTERVAL = 0.1
"""Seconds between two looks."""


class LoopLag:
    """Sets a timer again and again, and counts in `cell` how late it came. Runs from `start` to `stop`."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + INTERVAL
        self._timer = loop.call_at(self._due, self._look, loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        late = max(loop.time() - self._due, 0.0)
        self._cell[bisect_left(LAG_SECONDS, late)] += 1.0
        self._cell[-1] += late
        self.start()
