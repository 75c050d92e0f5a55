"""One serving process, from its first signal handler to its last line of log."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import resource
import signal
import time
from collections.abc import Callable

from router.app import App
from router.config.load import Config
from router.config.sources import Sources
from router.process.reload import Reloader

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""As in malloc.h; in bytes."""

Read = Callable[[Sources], Config]
"""Reads the configuration. Raises ConfigError."""


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this process have: every request holds two sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def keep_freed_memory() -> None:
    """Have glibc hold on to what is freed, instead of returning it to the system and faulting it in again: reading a
    body takes and frees some tens of kilobytes. Elsewhere (musl, macOS) there is no such thing to set."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_TOP_PAD, 1 << 20)
        # Where glibc itself would get to with bodies of that size, but for having set anything. After a peak so much of
        # it may stay with the process.
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(M_TRIM_THRESHOLD, 64 << 20)


def settle_garbage_collector() -> None:
    """Leave what was loaded out of every later collection, and collect less often: requests leave next to no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def serve(config: Config, sources: Sources, read: Read) -> None:
    """Run until SIGTERM or SIGINT, then drain; a second signal ends at once. SIGHUP, or a change of `sources`, reloads.

    Raises OSError where it cannot listen.
    """
    raise_file_limit()
    keep_freed_memory()
    app = App(config)
    reloader = Reloader(read, sources, app, app.observe, lambda error: app.log.unforeseen("reload", error), time.time)
    leave = asyncio.Event()
    stopping: asyncio.Task[None] | None = None

    def signalled() -> None:
        leave.set()
        if stopping is not None:
            stopping.cancel()

    loop = asyncio.get_running_loop()
    on_a_terminal = os.isatty(0)

    def hung_up(number: int, frame: object) -> None:
        gone = on_a_terminal and not os.isatty(0)
        loop.call_soon_threadsafe(signalled if gone else reloader.ask)

    signal.signal(signal.SIGHUP, hung_up)
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, signalled)
    await app.start()
    settle_garbage_collector()
    reloading = loop.create_task(reloader.run())
    await leave.wait()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # from now on, and not what it does by default once the loop has ended
    reloading.cancel()
    stopping = loop.create_task(app.stop())
    await asyncio.wait([stopping, reloading])
