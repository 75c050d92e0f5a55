"""US dollars spent by name: what is not yet told to the siblings, and what all have spent together."""

from __future__ import annotations

from collections.abc import Mapping


class Spend:
    """Totals only grow. Names are those of clients' keys."""

    __slots__ = ("_new", "_sent", "_totals")

    def __init__(self) -> None:
        self._new: dict[str, float] = {}
        self._sent: dict[str, float] = {}
        self._totals: dict[str, float] = {}

    def add(self, name: str, amount: float) -> None:
        self._new[name] = self._new.get(name, 0.0) + amount

    def total(self, name: str) -> float:
        """What all replicas have spent, as far as it is known here."""
        return self._totals.get(name, 0.0) + self._sent.get(name, 0.0) + self._new.get(name, 0.0)

    def send(self) -> Mapping[str, float]:
        """What was added since the last `send`; to be called again once `told`."""
        self._sent, self._new = self._new, {}
        return self._sent

    def told(self) -> None:
        """What was sent counts in everybody's totals now."""
        for name, amount in self._sent.items():
            self._totals[name] = self._totals.get(name, 0.0) + amount
        self._sent = {}

    def hear(self, totals: Mapping[str, float]) -> None:
        """Everybody's totals. Of two words the larger is the later one."""
        for name, total in totals.items():
            self._totals[name] = max(total, self._totals.get(name, 0.0))

    def known(self) -> Mapping[str, float]:
        """Everybody's totals."""
        return dict(self._totals)
