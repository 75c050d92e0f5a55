"""The router's own log: one JSON line a state change, written by a thread."""

from __future__ import annotations

import sys

import structlog

from router.core.errors import FailureKind
from router.core.events import Cooled, Recovered, Reloaded, SharingLost, SharingRestored
from router.telemetry.bus import EventBus
from router.telemetry.writer import LineWriter

_OPERATORS = frozenset({FailureKind.AUTH, FailureKind.QUOTA, FailureKind.NOT_FOUND})


class Log:
    """A structlog logger on standard error, that also tells of changes in the deployments' health."""

    def __init__(self, **bound: object) -> None:
        """`bound`: what every line says."""
        self._writer = LineWriter(self._write)
        self.logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            _Lines(self._writer),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", key="time"),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger("info"),
        ).bind(**bound)

    @property
    def dropped(self) -> int:
        """Lines dropped because the queue was full or standard error could not be written."""
        return self._writer.dropped

    def listen(self, bus: EventBus) -> None:
        bus.on(Cooled, self._cooled)
        bus.on(Recovered, lambda event: self.logger.info("recovered", deployment=event.deployment))
        bus.on(SharingLost, self._sharing_lost)
        bus.on(SharingRestored, lambda event: self.logger.info("sharing state", replicas=event.live))
        bus.on(Reloaded, self._reloaded)

    def _cooled(self, event: Cooled) -> None:
        """What nobody but the operator can mend is an error, the rest a warning."""
        tell = self.logger.error if event.reason in _OPERATORS else self.logger.warning
        tell(
            "cooldown",
            deployment=event.deployment,
            reason=event.reason.value,
            seconds=round(event.seconds, 3),
            key=event.key,
        )

    def _sharing_lost(self, event: SharingLost) -> None:
        self.logger.warning("not sharing state", reason=event.reason, detail=event.detail)

    def unforeseen(self, request_id: str, error: BaseException) -> None:
        """An error that nobody foresaw while serving a request."""
        self.logger.error("unforeseen error", request_id=request_id, exc_info=error)

    def traces(self, delivered: bool) -> None:
        """Traces reach the collector again, or no longer."""
        if delivered:
            self.logger.info("traces are delivered again")
        else:
            self.logger.warning("traces are not delivered: the collector does not answer, or refuses them")

    def sign_in_failed(self, error: Exception) -> None:
        """Entra ID, or the way to it, refused."""
        told = str(error).partition("\n")[0][:300]
        self.logger.error("sign-in failed", error=type(error).__name__, message=told)

    def close(self) -> None:
        self._writer.close()

    def _reloaded(self, event: Reloaded) -> None:
        if event.problems:
            self.logger.error("configuration refused: the one before stays in force", problems=event.problems)
            return
        self.logger.info("configuration reloaded", seconds=round(event.seconds, 3))
        if event.fixed:
            self.logger.warning("these settings change with the next restart only", settings=event.fixed)

    @staticmethod
    def _write(lines: bytes) -> None:
        sys.stderr.buffer.write(lines)
        sys.stderr.buffer.flush()


class _Lines:
    """What structlog calls with a finished line, whatever its level."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: str) -> None:
        self._writer.put(line.encode() + b"\n")

    debug = info = warning = error = critical = msg
