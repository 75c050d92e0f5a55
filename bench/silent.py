"""The router with nobody listening: no metrics are counted and no log line is written. What it saves is what they cost.

Takes the router's own command line: `python -m bench.silent serve --config router.yaml`.
"""

from __future__ import annotations

from router.cli import main
from router.telemetry.access_log import AccessLog
from router.telemetry.bus import EventBus
from router.telemetry.metrics import Metrics


def nobody(metrics: Metrics, bus: EventBus) -> None:
    """In place of `Metrics.listen`."""


def nothing(log: AccessLog, event: object) -> None:
    """In place of `AccessLog.__call__`."""


if __name__ == "__main__":
    Metrics.listen = nobody  # type: ignore[method-assign]
    AccessLog.__call__ = nothing  # type: ignore[method-assign]
    main()
