"""Being cancelled in spite of a library that loses it."""

from __future__ import annotations

import asyncio


def heed_cancel() -> None:
    """Raises CancelledError where the running task has been cancelled, and what it waited for has kept that to itself.

    `asyncio.wait_for` does before Python 3.12, where that which it waits for comes at the same moment; the Redis
    library sends its commands through it. For what would go on for ever, outside of any `asyncio.timeout`.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
