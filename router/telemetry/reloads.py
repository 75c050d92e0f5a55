"""Whether the configuration in force is the one that was last meant to be, and since when."""

from __future__ import annotations

from router.core.events import Reloaded
from router.telemetry.bound import Families
from router.telemetry.bus import EventBus


class Reloads:
    def __init__(self, families: Families, started: float) -> None:
        """`started`: when the first configuration was read, in seconds since 1970."""
        self._outcomes = families("router_config_reloads_total")
        self._successful = families("router_config_last_reload_successful").cell(())
        self._since = families("router_config_last_reload_success_timestamp_seconds").cell(())
        self._successful[0] = 1.0
        self._since[0] = started

    def listen(self, bus: EventBus) -> None:
        bus.on(Reloaded, self._reloaded)

    def _reloaded(self, event: Reloaded) -> None:
        self._outcomes.add(("failure" if event.problems else "success",))
        self._successful[0] = 0.0 if event.problems else 1.0
        if not event.problems:
            self._since[0] = event.at
