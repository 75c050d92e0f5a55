"""The server protocol with the hot routes served inline.

Its `HotLane` peeks at the next parsed message. A plain POST to a hot path is served within the connection's own task:
no task, request object or body reader of its own, and an answer in one write. Anything else, parse errors included, is
left in place, and the connection goes on in aiohttp's own `start`.

A request whose head is the last one's again (`RepeatedHead`) does not even go through aiohttp's parser. That needs the
parser to stand between two messages, which is known where all that it has been fed is one whole message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.edge.hot_lane import HotLane
from router.edge.protocol import EdgeProtocol

if TYPE_CHECKING:
    from router.edge.server import EdgeServer


class FastProtocol(EdgeProtocol):
    """Serves the hot routes inline."""

    __slots__ = ("_lane",)

    def __init__(self, manager: EdgeServer, *, lane: HotLane, **options: Any) -> None:
        """`lane` is this connection's own; `options` are aiohttp's."""
        super().__init__(manager, **options)
        self._lane = lane

    def data_received(self, data: bytes) -> None:
        if data:  # aiohttp itself calls with nothing, for the parser to go on with what it has
            data = self._lane.take(self, data)
            if not data:
                return
        super().data_received(data)

    async def start(self) -> None:
        if await self._lane.run(self):
            await super().start()

    def close_if_idle(self) -> None:
        if self._lane.empty:
            super().close_if_idle()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._lane.lost()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._lane.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._lane.resume()
