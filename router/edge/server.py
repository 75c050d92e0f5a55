"""Listening, and leaving without losing a request."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from router.core.types import Kind
from router.edge.accept import Acceptor
from router.edge.fast_protocol import FastProtocol
from router.edge.hot_lane import HotLane
from router.edge.protocol import EdgeProtocol
from router.edge.service import Service

BACKLOG = 4096
_POLL = 0.05


class EdgeServer(web.Server):
    """aiohttp's low-level server with the project's own protocol.

    `hot` is empty where the fast path is switched off.
    """

    def __init__(self, handler: Any, *, hot: dict[str, Kind], fast_options: dict[str, Any], **options: Any) -> None:
        super().__init__(handler, handler_cancellation=True, **options)
        self._hot = hot
        self._fast_options = fast_options

    def __call__(self) -> EdgeProtocol:
        if not self._hot:
            return EdgeProtocol(self, loop=self._loop, **self._kwargs)
        lane = HotLane(self._hot, **self._fast_options)
        return FastProtocol(self, loop=self._loop, lane=lane, **self._kwargs)


class Listener:
    """A server on its socket, from the first connection to the last."""

    def __init__(self, server: EdgeServer, service: Service) -> None:
        self._server = server
        self._service = service
        self._listening: list[asyncio.Server | Acceptor] = []

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system has chosen where `port` is 0. Raises OSError."""
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(self._server, host, port, backlog=BACKLOG, reuse_address=True)
        self._listening = [listening]
        first: socket.socket = listening.sockets[0]
        return int(first.getsockname()[1])

    def share(self, sockets: Sequence[socket.socket]) -> int:
        """Take connections from sockets that other processes listen on as well; returns the port."""
        for sock in sockets:
            acceptor = Acceptor(sock, self._server)
            acceptor.start()
            self._listening.append(acceptor)
        return int(sockets[0].getsockname()[1])

    async def drain(self, delay: float, seconds: float) -> None:
        """Leave: not ready but accepting for `delay`, then `seconds` for what is under way; what is left is cut off.

        A stream that is cut off ends with an in-band error, any other request with a 503.
        """
        loop = asyncio.get_running_loop()
        self._service.draining = True
        await asyncio.sleep(delay)
        for listening in self._listening:
            listening.close()
        end = loop.time() + seconds
        while True:
            connections = self._connections()
            for connection in connections:
                connection.close_if_idle()
            if not any(connection.busy for connection in connections) or loop.time() >= end:
                break
            await asyncio.sleep(_POLL)
        for connection in self._connections():
            connection.cut_off()
        await self._server.shutdown(timeout=1.0)

    def _connections(self) -> list[EdgeProtocol]:
        return [connection for connection in self._server.connections if isinstance(connection, EdgeProtocol)]
