"""Threads that write what the event loop hands them: a slow disk, pipe or collector never holds up a request."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

QUEUE_LINES = 65_536
BATCH_SECONDS = 0.05
LINES_AT_ONCE = 64

T = TypeVar("T")


class BatchWriter(Generic[T]):
    """Takes values on the event loop; hands them to `write` on a thread, in batches. When full it drops, and counts.

    `write` returns how many values of its batch are lost; an error of it costs them all. `most` values wait at most;
    a batch is what has come in `seconds`.
    """

    def __init__(self, write: Callable[[list[T]], int], name: str, most: int, seconds: float) -> None:
        self.dropped = 0
        self.written = 0
        self._write = write
        self._most = most
        self._seconds = seconds
        self._queue: deque[T] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._worker = threading.Thread(target=self._run, name=name, daemon=True)
        self._worker.start()

    def put(self, value: T) -> None:
        """Queue one value. Never waits."""
        if len(self._queue) >= self._most:
            self.dropped += 1
            return
        self._queue.append(value)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued, and stop. Waits for at most `timeout` seconds."""
        self._closing.set()
        self._wake.set()
        self._worker.join(timeout)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._closing.wait(self._seconds)
            self._wake.clear()
            self._flush()
            if self._closing.is_set() and not self._queue:
                return

    def _flush(self) -> None:
        values = []
        while self._queue:
            values.append(self._queue.popleft())
        try:
            lost = self._write(values) if values else 0
        except Exception:
            lost = len(values)
        self.dropped += lost
        self.written += len(values) - lost


class LineWriter(BatchWriter[bytes]):
    """Lines, as bytes that end in a line break. `write` gets them on the thread, some at a time: large pieces of memory
    that come and go are what an allocator gives back to the system, and asks for again."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write_lines = write
        super().__init__(self._lines, "log-writer", QUEUE_LINES, BATCH_SECONDS)

    def _lines(self, lines: list[bytes]) -> int:
        lost = 0
        for begin in range(0, len(lines), LINES_AT_ONCE):
            piece = lines[begin : begin + LINES_AT_ONCE]
            try:
                self._write_lines(b"".join(piece))
            except Exception:  # a full disk, or a pipe that was closed: a ValueError
                lost += len(piece)
        return lost
