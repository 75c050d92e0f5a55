"""What a connection needs of whoever keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from router.upstream.counters import CloseReason
from router.upstream.refusal import Refusal

if TYPE_CHECKING:
    from router.upstream.connection import Connection


class Owner(Protocol):
    """Who keeps connections. They all read into `scratch`."""

    scratch: memoryview

    def made(self, connection: Connection) -> None:
        """The connection has a socket."""

    def idle(self, connection: Connection) -> None:
        """The connection is free for another exchange."""

    def closing(self, connection: Connection, reason: CloseReason) -> None:
        """The connection must not be used again."""

    def lost(self, connection: Connection) -> None:
        """The connection's socket is closed."""

    def refused(self, reason: Refusal) -> None:
        """A response was malformed."""
