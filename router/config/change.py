"""What of a new configuration a running process can follow, and what waits for a restart."""

from __future__ import annotations

from router.config.checks import is_loopback
from router.config.schema import Settings
from router.core.errors import ConfigError

FIXED = {
    "server": ("host", "port", "workers", "admin_port", "max_body_bytes", "body_timeout", "fast_path", "access_log"),
    "state": ("redis_url", "namespace", "sync_interval"),
    "telemetry": ("access_log", "tracing"),
}
"""Settings that a process keeps as it was started with them, by section."""


def fixed_settings(started_with: Settings, now: Settings) -> tuple[str, ...]:
    """Those that differ from what the process was started with.

    Raises ConfigError where it can not go on under `now`, however right that is for a process that is started anew.
    """
    host, auth = started_with.server.host, now.auth
    if not auth.keys and not auth.master_key.get_secret_value() and not is_loopback(host):
        raise ConfigError([f"auth.keys: there is none left, and until it is restarted the router listens on {host}"])
    return tuple(
        f"{section}.{name}"
        for section, names in FIXED.items()
        for name in names
        if getattr(getattr(started_with, section), name) != getattr(getattr(now, section), name)
    )
