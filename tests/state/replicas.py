"""Replicas that share a picture, on a clock that is a number: for tests of the exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from random import Random

from router.core.events import Event, Rejected
from router.core.filters import Reason
from router.core.types import Estimate, LimitSubject, ModelGroup
from router.state.base import Outcome
from router.state.exchange import Batch, Cooldown, Medium, MediumError, Picture
from router.state.ledger import Ledger
from router.state.sharing import Sharing
from tests.core.making import FakeClock, World


class LedgerMedium:
    """The ledger as it is, without a way to it. `trouble` is called before every message, and may raise."""

    def __init__(self, clock: FakeClock, ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger()
        self._clock = clock
        self._ears: dict[str, asyncio.Queue[Cooldown]] = {}
        self.trouble: Callable[[], None] = lambda: None
        self.late = 0.0
        """Seconds that every answer takes."""

    async def trade(self, batch: Batch) -> Picture:
        self.trouble()
        picture = self.ledger.trade(batch, self._clock.now)
        self._clock.advance(self.late)
        return picture

    async def publish(self, replica: str, cooldown: Cooldown) -> None:
        self.trouble()
        self.ledger.cool(cooldown, self._clock())
        for name, ear in self._ears.items():
            if name != replica:
                ear.put_nowait(cooldown)

    async def listen(self, replica: str) -> AsyncGenerator[Cooldown, None]:
        ear = self._ears[replica] = asyncio.Queue()
        while True:
            yield await ear.get()

    async def leave(self, replica: str) -> None:
        self.trouble()
        self.ledger.leave(replica)

    async def close(self) -> None: ...


def gone() -> None:
    raise MediumError("refused", "nobody there")


class Replica(World):
    """One router's picture, and its side of the exchange."""

    def __init__(
        self, name: str, clock: FakeClock, medium: Medium, *groups: ModelGroup, soonest: float | None = None
    ) -> None:
        super().__init__(*groups)
        self.clock = clock
        self.name = name
        self.store._clock = self.store._wall_clock = clock
        self.heard: list[Event] = []
        self.sharing = Sharing(name, self.store, medium, self.heard.append, clock, Random(1), 0.1, soonest)
        self.store._observer = self._observe

    def _observe(self, event: Event) -> None:
        self.events.append(event)
        self.sharing.outbox(event)

    async def trade(self) -> bool:
        return await self.sharing.trade()

    def serve(self, name: str, outcome: Outcome, times: int = 1) -> None:
        for _ in range(times):
            self.store.settle(self.lease(name), outcome)

    def want(self, group: str) -> None:
        """A request was passed over a backend of the group that is not closed."""
        self._observe(Rejected(group, Reason.UNHEALTHY))

    def admit(self, subject: LimitSubject, tokens: int = 1) -> bool:
        return self.store.admit(subject, Estimate(tokens, 0)).reservation is not None


async def trade_all(replicas: Sequence[Replica], times: int = 1) -> None:
    """Everybody trades once, and again: after the second time everybody has heard of what everybody said."""
    for _ in range(times):
        for replica in replicas:
            assert await replica.trade()
