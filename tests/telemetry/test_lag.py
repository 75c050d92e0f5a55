from __future__ import annotations

import asyncio
import time

from router.telemetry import lag
from router.telemetry.cells import Family
from router.telemetry.lag import LoopLag


def _busy(seconds: float) -> None:
    """What must not be done on the event loop."""
    time.sleep(seconds)


async def test_a_loop_that_is_held_up_shows_it() -> None:
    cell = Family("router_event_loop_lag_seconds").cell(())
    watch = LoopLag(cell)
    watch.start()
    await asyncio.sleep(lag.INTERVAL / 2)
    _busy(lag.INTERVAL)
    await asyncio.sleep(lag.INTERVAL / 2)
    watch.stop()
    assert cell[-1] >= lag.INTERVAL / 4
    seen = sum(cell[:-1])
    await asyncio.sleep(lag.INTERVAL * 1.5)
    assert sum(cell[:-1]) == seen, "stopped"
