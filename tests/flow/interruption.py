"""Cancelling a coroutine's task at any one of its awaits."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any


async def interrupted(coroutine: Coroutine[Any, Any, None], at: int, *, waking: bool) -> None:
    """Run `coroutine` and cancel the task at its `at`-th suspension (from 0).

    Either while it waits, or (`waking`) when what it waits for has just come, but before it has been told: then it has
    to do with a cancellation that is late.
    """
    await _watched(coroutine, at, waking)


@types.coroutine
def _watched(coroutine: Coroutine[Any, Any, None], at: int, waking: bool) -> Generator[Any, Any, None]:
    task = asyncio.current_task()
    assert task is not None
    resume: Any = coroutine.send
    value: Any = None
    suspensions = 0
    while True:
        try:
            future = resume(value)
        except StopIteration:
            return
        if suspensions == at:
            if waking and future is not None:
                future.add_done_callback(lambda _: task.cancel())
            else:
                asyncio.get_running_loop().call_soon(task.cancel)
        suspensions += 1
        try:
            value = yield future
            resume = coroutine.send
        except BaseException as error:
            value = error
            resume = coroutine.throw
