"""Limits as one would count them on paper: every reservation in a list, summed anew for every question."""

from __future__ import annotations

from dataclasses import dataclass, field

from router.core.limits import Spent
from router.core.types import Limits, Usage
from router.core.window import TICKS


@dataclass
class Entry:
    """One reservation."""

    at: float
    tokens: int
    requests: int = 1
    open: bool = True


@dataclass
class Naive:
    entries: list[Entry] = field(default_factory=list)
    lasts: dict[int, float] = field(default_factory=dict)

    def reserve(self, now: float, tokens: int) -> Entry:
        self.entries.append(Entry(now, tokens))
        self.lasts[int(now * TICKS)] = now
        return self.entries[-1]

    def settle(self, now: float, entry: Entry, spent: Spent, usage: Usage | None) -> None:
        assert entry.open
        entry.open = False
        if usage is not None:
            entry.tokens = usage.prompt_tokens + usage.completion_tokens
        elif spent is not Spent.ESTIMATE:
            entry.tokens = 0
            entry.requests = 0 if spent is Spent.NOTHING else 1

    def totals(self, now: float) -> tuple[int, int, int]:
        """Requests and tokens of the last minute, and requests under way."""
        # What came within one tick of the clock leaves together, a minute after the last of it.
        counted = [entry for entry in self.entries if now < self.lasts[int(entry.at * TICKS)] + 60.0]
        under_way = sum(entry.open for entry in self.entries)
        return sum(entry.requests for entry in counted), sum(entry.tokens for entry in counted), under_way

    def admits(self, now: float, limits: Limits, tokens: int) -> bool:
        requests, used, under_way = self.totals(now)
        return (
            (limits.rpm is None or requests < limits.rpm)
            and (limits.tpm is None or used + tokens <= limits.tpm or used == 0)
            and (limits.max_parallel_requests is None or under_way < limits.max_parallel_requests)
        )

    def forget(self, now: float) -> None:
        """Drop what can never count again, so that long runs stay quick."""
        self.entries = [entry for entry in self.entries if entry.open or now < entry.at + 62.0]
