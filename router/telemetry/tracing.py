"""Traces: which requests are traced, and their way to a collector over OTLP, on a thread of its own.

On the event loop a traced request costs two random numbers and a few tuples; the spans are made and sent by the thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Protocol

from router.core.events import Finished
from router.core.trace import Trace, parent_of
from router.telemetry.writer import BatchWriter

MOST_WAITING = 8_192
"""Requests whose spans wait to be sent, at most; those beyond lose theirs."""
BATCH_SECONDS = 1.0
BATCH_REQUESTS = 256
"""Requests sent at once: with their attempts some 200 KB."""


class Sender(Protocol):
    """The way to the collector."""

    def send(self, events: list[Finished]) -> bool:
        """Send the spans of these requests; False where they did not get there. Runs on the thread; may wait."""

    def close(self) -> None: ...


class Tracing:
    """Begins the trace of each request, and sends what was sampled.

    `sample_ratio` is the share, 0 to 1, of requests that are traced where the caller has not decided; `content`: with
    prompts and replies; `told` hears when delivery fails, and when it works again.
    """

    def __init__(
        self, sender: Sender, sample_ratio: float, content: bool, rng: Random, told: Callable[[bool], None]
    ) -> None:
        self._sender = sender
        self._sample_ratio = sample_ratio
        self._content = content
        self._rng = rng
        self._told = told
        self._delivers = True
        self._writer: BatchWriter[Finished] = BatchWriter(self._send, "trace-sender", MOST_WAITING, BATCH_SECONDS)

    @property
    def sent(self) -> int:
        """Requests whose spans the collector has."""
        return self._writer.written

    @property
    def dropped(self) -> int:
        """Requests whose spans were lost: too many were waiting, or the collector did not take them."""
        return self._writer.dropped

    def begin(self, headers: Mapping[str, str], began: float) -> Trace:
        """The trace of a request that came with `headers` at `began` (clock seconds)."""
        sampled = self._sample_ratio >= 1.0 or self._rng.random() < self._sample_ratio
        return Trace(parent_of(headers), sampled, began, self._rng, self._content)

    def __call__(self, event: Finished) -> None:
        if event.trace is not None and event.trace.sampled:
            self._writer.put(event)

    def close(self) -> None:
        self._writer.close()
        self._sender.close()

    def _send(self, events: list[Finished]) -> int:
        lost = 0
        for start in range(0, len(events), BATCH_REQUESTS):
            batch = events[start : start + BATCH_REQUESTS]
            delivered = self._sender.send(batch)
            if delivered != self._delivers:
                self._delivers = delivered
                self._told(delivered)
            if not delivered:
                lost += len(batch)
        return lost
