"""Keeps a copy of what a client is sent, for a trace that is to have the content, too."""

from __future__ import annotations

from router.core.errors import RouterError
from router.core.events import Finished
from router.core.trace import Trace
from router.dialects.base import Headers
from router.flow.exchange import Exchange
from router.upstream.base import BodyStream


class Copying:
    """An exchange before an exchange."""

    def __init__(self, exchange: Exchange, trace: Trace) -> None:
        self._exchange = exchange
        self._trace = trace

    @property
    def committed(self) -> bool:
        return self._exchange.committed

    @property
    def gone(self) -> bool:
        return self._exchange.gone

    def reply(self, body: bytes, record: Finished, upstream: Headers) -> None:
        self._trace.keep(body)
        self._exchange.reply(body, record, upstream)

    def start(self, frames: bytes, record: Finished, upstream: Headers) -> None:
        self._trace.keep(frames)
        self._exchange.start(frames, record, upstream)

    def write(self, frames: bytes) -> None:
        self._trace.keep(frames)
        self._exchange.write(frames)

    def end(self, frames: bytes = b"") -> None:
        self._trace.keep(frames)
        self._exchange.end(frames)

    def fail(self, error: RouterError) -> None:
        self._exchange.fail(error)

    def hold(self, stream: BodyStream | None) -> None:
        self._exchange.hold(stream)
