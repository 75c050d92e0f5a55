"""The router's own log: one JSON line a state change, written by a thread."""

from __future__ import annotations

import sys

import structlog

from router.core.events import Cooled, Event, Recovered
from router.telemetry.writer import LineWriter


class Log:
    """A structlog logger on standard error, and an observer that tells of changes in the deployments' health."""

    def __init__(self) -> None:
        self._writer: LineWriter[str] = LineWriter(lambda line: line.encode() + b"\n", self._write)
        self.logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            _Lines(self._writer),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", key="time"),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger("info"),
        )

    def __call__(self, event: Event) -> None:
        if isinstance(event, Cooled):
            self.logger.warning(
                "cooldown",
                deployment=event.deployment,
                reason=event.reason.value,
                seconds=round(event.seconds, 3),
                key=event.key,
            )
        elif isinstance(event, Recovered):
            self.logger.info("recovered", deployment=event.deployment)

    def unforeseen(self, request_id: str, error: BaseException) -> None:
        """An error that nobody foresaw while serving a request."""
        self.logger.error("unforeseen error", request_id=request_id, exc_info=error)

    def close(self) -> None:
        self._writer.close()

    @staticmethod
    def _write(lines: bytes) -> None:
        sys.stderr.buffer.write(lines)
        sys.stderr.buffer.flush()


class _Lines:
    """What structlog calls with a finished line, whatever its level."""

    def __init__(self, writer: LineWriter[str]) -> None:
        self._writer = writer

    def msg(self, line: str) -> None:
        self._writer.put(line)

    debug = info = warning = error = critical = msg
