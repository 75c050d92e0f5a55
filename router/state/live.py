"""How many replicas there are: the largest count of the last minute, so that a hiccup does not multiply limits."""

from __future__ import annotations

from collections import deque

REMEMBERED = 60.0


class Live:
    """Counts heard at clock seconds. What is not heard does not age: while nobody can be asked, the count stays."""

    __slots__ = ("_heard", "count")

    def __init__(self) -> None:
        self._heard: deque[tuple[float, int]] = deque()  # counts fall from the first on
        self.count = 1

    def hear(self, now: float, count: int) -> int:
        """Returns the largest count of the last minute in which anything was heard."""
        heard = self._heard
        while heard and heard[-1][1] <= count:
            heard.pop()
        heard.append((now, count))
        while heard[0][0] <= now - REMEMBERED:
            heard.popleft()
        self.count = heard[0][1]
        return self.count
