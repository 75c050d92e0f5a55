"""One inference request from first byte to access log line, whichever way it came in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Protocol

from router.core.clock import Clock
from router.core.errors import RouterError
from router.core.events import Finished, Observer
from router.core.trace import Trace
from router.core.types import Kind
from router.edge.body import RequestBody
from router.edge.errors import internal_error
from router.edge.fields import request_id
from router.edge.inference import Inference
from router.flow.exchange import Exchange

BeginTrace = Callable[[Mapping[str, str], float], Trace]
"""Gives the trace of a request, from its header and the moment (clock seconds) it began."""

Log = Callable[[str, BaseException], None]
"""Where an error that nobody foresaw goes: its request id, and itself."""


class EdgeExchange(Exchange, Protocol):
    """An exchange that can also refuse."""

    def refuse(self, error: RouterError, record: Finished) -> None:
        """The whole response to a request that no deployment has served."""


class Service:
    """Counts what is under way, and turns whatever happens into an answer and an event."""

    def __init__(
        self,
        inference: Inference,
        observer: Observer,
        log: Log,
        clock: Clock,
        wall_clock: Clock,
        rng: Random,
        max_concurrent_requests: int,
        begin_trace: BeginTrace | None = None,
    ) -> None:
        """`clock` runs steadily; `wall_clock` gives seconds since 1970, for the log. Without `begin_trace` nothing is
        traced."""
        self.inference = inference
        self.in_flight = 0
        self.draining = False
        self._observer = observer
        self._log = log
        self._clock = clock
        self._wall_clock = wall_clock
        self._rng = rng
        self._begin_trace = begin_trace
        self.max_concurrent_requests = max_concurrent_requests

    async def handle(self, kind: Kind, headers: Mapping[str, str], body: RequestBody, exchange: EdgeExchange) -> None:
        """Serve one request. Raises nothing but CancelledError."""
        record = Finished(request_id(headers, f"req-{self._rng.getrandbits(96):024x}"), kind)
        record.received = self._wall_clock()
        began = self._clock()
        if self._begin_trace is not None:
            record.trace = self._begin_trace(headers, began)
        self.in_flight += 1
        try:
            if self.in_flight > self.max_concurrent_requests:
                raise _overloaded()
            await self.inference.serve(kind, headers, body, exchange, record)
            record.status = 200
        except RouterError as error:
            self._refuse(error, exchange, record)
        except asyncio.CancelledError:
            self._cut_off(exchange, record)
            raise
        except Exception as error:
            self._log(record.request_id, error)
            self._refuse(internal_error(), exchange, record)
        finally:
            self.in_flight -= 1
            record.duration = self._clock() - began
            self._observer(record)

    def _refuse(self, error: RouterError, exchange: EdgeExchange, record: Finished) -> None:
        record.outcome, record.error, record.status = "error", error.code, error.status
        if exchange.committed:
            exchange.fail(error)
        else:
            exchange.refuse(error, record)

    def _cut_off(self, exchange: EdgeExchange, record: Finished) -> None:
        """Cancelled: the client hung up, or the router is going down and says so where it still can."""
        if exchange.gone:
            record.outcome, record.status, record.error = "client_gone", 499, "client_gone"
            return
        self._refuse(_shutting_down(), exchange, record)


def _overloaded() -> RouterError:
    return RouterError(503, "overloaded", "the router is serving as many requests as it may; try again shortly",
                       type="api_error", retry_after=1.0)  # fmt: skip


def _shutting_down() -> RouterError:
    return RouterError(503, "shutting_down", "the router is shutting down; send the request again", type="api_error",
                       should_retry=True)  # fmt: skip
