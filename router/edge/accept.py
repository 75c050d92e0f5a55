"""Connections from a socket that several processes listen on.

asyncio and uvloop take all that wait whenever they look, so that one worker would get a whole burst. Here each takes
one in a turn of its event loop: who is busy takes fewer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

AGAIN = 0.5
"""Seconds until the next try where the system would not give a connection, having no room for more open files."""


class Acceptor:
    """`factory` makes the protocol of a connection. The socket does not block, and is closed in the end."""

    def __init__(self, sock: socket.socket, factory: Callable[[], asyncio.Protocol]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._factory = factory
        self._connecting: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Take no more. What others have of the socket stays open."""
        if self._sock.fileno() < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was quicker, or the client is gone
        except OSError:
            self._loop.remove_reader(self._sock.fileno())
            self._timer = self._loop.call_later(AGAIN, self.start)
            return
        connection.setblocking(False)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._factory, connection)
        )
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)


def bound(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Sockets that listen on every address of `host`, for workers to inherit. Raises OSError."""
    found: list[socket.socket] = []
    try:
        for family, kind, proto, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            sock = socket.socket(family, kind, proto)
            found.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(found) > 1:
                address = (address[0], found[0].getsockname()[1], *address[2:])
            sock.bind(address)
            sock.listen(backlog)
            sock.setblocking(False)
    except BaseException:
        for sock in found:
            sock.close()
        raise
    return found
