"""Trading the picture with siblings, in the background. No request waits for it, and none fails for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from random import Random

from router.core.clock import Clock
from router.core.events import Observer, SharingLost, SharingRestored
from router.state.exchange import LEASE, TOTAL_TIMEOUT, Medium, MediumError
from router.state.hearing import Hearing
from router.state.heeding import heed_cancel
from router.state.live import Live
from router.state.memory import MemoryStore
from router.state.outbox import Outbox
from router.state.spend import Spend

DISTANCE = 2.0
"""Trades are this many times their own duration apart, at least: a medium with too much to do is asked less often."""
LONGEST_WAIT = LEASE / 3
SLOWEST_RETRY = 2.0
"""Intervals between two attempts while the medium is gone: it is asked half as often as while it is there."""


class Sharing:
    """One replica's side of the exchange: trades every `interval` seconds, publishes cooldowns and hears them."""

    def __init__(
        self,
        replica: str,
        store: MemoryStore,
        medium: Medium,
        observer: Observer,
        clock: Clock,
        rng: Random,
        interval: float,
        soonest: float | None = None,
    ) -> None:
        """`replica` is a name that no other life of a process ever has; `interval` in seconds. `soonest`: seconds after
        the last trade in which siblings hear that this replica takes much of what is left of a limit; None: it is not
        worth a trade of its own."""
        self.spend = Spend()
        self.outbox = Outbox(replica, store, self.spend, clock, 2.0 * interval)
        """To be subscribed to what happens."""
        self._failures: dict[str, int] = {}
        self._lost: bool | None = None  # None: not tried yet
        self._replica = replica
        self._store = store
        self._medium = medium
        self._observer = observer
        self._clock = clock
        self._rng = rng
        self._interval = interval
        self._soonest = 0.0 if soonest is None else soonest
        self._hearing = Hearing(store, None if soonest is None else self.outbox.hurry)
        self._live = Live()
        self._heard_at = clock()

    @property
    def degraded(self) -> bool:
        """Nobody can be heard now."""
        return self._lost is not False

    @property
    def failures(self) -> Mapping[str, int]:
        """Trades that failed, and what the counter of strict limits could not be told afterwards, by reason."""
        strict = self._store.strict
        return self._failures if strict is None else Counter(self._failures) + Counter(strict.failures)

    @property
    def live(self) -> int:
        """How many replicas share the limits: the largest count of the last minute."""
        return self._live.count

    async def run(self) -> None:
        """Trade until cancelled, then say farewell and close the medium."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._trade_on())
                tasks.create_task(self._publish_on())
                tasks.create_task(self._listen_on())
        finally:
            await self._leave()

    async def trade(self) -> bool:
        """One trade. False where the medium could not be asked."""
        try:
            picture = await self._medium.trade(self.outbox.batch())
            now = self._heard_at = self._clock()
            self.outbox.answered(picture)
            self._hearing.hear(picture, self._live.hear(now, picture.live), now)
        except MediumError as error:
            self._failed(error.reason, str(error))
            return False
        except Exception as error:  # an answer that makes no sense must not end the exchange
            self._failed("error", repr(error))
            return False
        if self._lost is not False:
            self._lost = False
            self._observer(SharingRestored(picture.live))
        return True

    async def _trade_on(self) -> None:
        retries = 0
        while True:
            heed_cancel()
            began = self._clock()
            traded = await self.trade()
            took = self._clock() - began
            apart = min(DISTANCE * took, LONGEST_WAIT)
            if traded:
                retries = 0
                wait = max(self._interval, apart)
            else:
                retries += 1
                wait = self._interval * min(2.0 ** (retries - 1), SLOWEST_RETRY)
            # Replicas that were started together must not ask together for ever.
            wait *= 0.95 + 0.1 * self._rng.random()
            await self.outbox.wait(wait - took, max(self._soonest, apart) - took)

    async def _publish_on(self) -> None:
        while True:
            heed_cancel()
            cooldown = await self.outbox.urgent()
            try:
                async with asyncio.timeout(TOTAL_TIMEOUT):
                    await self._medium.publish(self._replica, cooldown)
            except Exception:
                continue  # whatever it was: the next batch has it, too

    async def _listen_on(self) -> None:
        while True:
            heed_cancel()
            try:
                async with aclosing(self._medium.listen(self._replica)) as cooldowns:
                    async for cooldown in cooldowns:
                        self._hearing.cool(cooldown, self._clock())
            except Exception:
                pass  # whatever it was: what is missed meanwhile comes with the next picture
            await asyncio.sleep(self._interval * (SLOWEST_RETRY + self._rng.random()))

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT):
                await self._medium.leave(self._replica)
        except Exception:
            pass  # whatever it was: the lease runs out by itself
        finally:
            await self._medium.close()

    def _failed(self, reason: str, detail: str) -> None:
        self._failures[reason] = self._failures.get(reason, 0) + 1
        self._hearing.lost(self._live.count)
        if self._clock() - self._heard_at > LEASE:
            self._hearing.forget()
        if self._lost is not True:
            self._lost = True
            self._observer(SharingLost(reason, detail))
