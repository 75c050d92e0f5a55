"""How much work gets done when a machine is slow for a while, or hangs."""

from __future__ import annotations

from bisect import bisect_right

from router.core.simulator.model import FOREVER, MachineModel, OutageKind


class Pace:
    """Work per second over time: 1 as a rule, 1 / factor during a slow-down, 0 during a hang.

    `origin`: the clock's reading when the model's times begin. All times in clock seconds.
    """

    __slots__ = ("_paces", "_starts", "_stalls")

    def __init__(self, model: MachineModel, origin: float) -> None:
        hangs = [outage for outage in model.outages if outage.kind is OutageKind.HANG]
        spans = [(slow.start, slow.end, 1.0 / slow.factor) for slow in model.slow_downs]
        spans += [(hang.start, hang.end, 0.0) for hang in hangs]
        edges = sorted({edge for start, end, _ in spans for edge in (start, end) if edge < FOREVER})
        self._starts = [-FOREVER, *(origin + edge for edge in edges)]
        self._paces = [1.0] * len(self._starts)
        for start, end, pace in spans:
            for place, edge in enumerate(edges, start=1):
                if start <= edge < end:
                    self._paces[place] *= pace
        self._stalls = sorted((origin + hang.start, origin + hang.end) for hang in hangs)

    def finish(self, start: float, work: float) -> float:
        """When `work` seconds' worth that begins at `start` is done; infinite where it never is."""
        starts = self._starts
        if len(starts) == 1:
            return start + work
        place = bisect_right(starts, start) - 1
        while True:
            pace = self._paces[place]
            end = starts[place + 1] if place + 1 < len(starts) else FOREVER
            if pace > 0.0 and start + work / pace <= end:
                return start + work / pace
            if end == FOREVER:
                return FOREVER
            work -= (end - start) * pace
            start = end
            place += 1

    def silence(self, start: float, end: float, patience: float) -> float:
        """When a stream that flows from `start` to `end` has first been silent for `patience` seconds; infinite where
        it never is."""
        for stalled, resumed in self._stalls:
            began = max(stalled, start)
            if began < end and began + patience < resumed:
                return began + patience
        return FOREVER
