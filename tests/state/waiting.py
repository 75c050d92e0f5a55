"""Waiting for what real sockets and tasks take their time for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Raises TimeoutError where it has not come true by then."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - anything can be waited for
            await asyncio.sleep(0.001)
