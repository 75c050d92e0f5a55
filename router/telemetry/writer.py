"""A thread that writes log lines, so that a slow disk or pipe never holds up a request."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

QUEUE_LINES = 65_536
BATCH_SECONDS = 0.05

T = TypeVar("T")


class LineWriter(Generic[T]):
    """Takes values on the event loop; renders and writes them on a thread, in batches. When full it drops, and counts.

    `render` makes a line of a value, `write` gets a batch of lines; both run on the thread. An error of `write` costs
    that batch, which then counts as dropped.
    """

    def __init__(self, render: Callable[[T], bytes], write: Callable[[bytes], object]) -> None:
        self.dropped = 0
        self._render = render
        self._write = write
        self._queue: deque[T] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, value: T) -> None:
        """Queue one line. Never waits."""
        if len(self._queue) >= QUEUE_LINES:
            self.dropped += 1
            return
        self._queue.append(value)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued, and stop. Waits for at most `timeout` seconds."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._closing.wait(BATCH_SECONDS)
            self._wake.clear()
            self._flush()
            if self._closing.is_set() and not self._queue:
                return

    def _flush(self) -> None:
        lines = []
        while self._queue:
            value = self._queue.popleft()
            try:
                lines.append(self._render(value))
            except Exception:  # one bad value is one line lost, not the log
                self.dropped += 1
        try:
            self._write(b"".join(lines))
        except Exception:  # a full disk, or a pipe that was closed: a ValueError
            self.dropped += len(lines)
