"""The exchange between the workers of one host: what Redis' script does, done by the process that started them.

A batch travels as a JSON document: named tuples are lists of their fields, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from router.core.clock import Clock
from router.state.exchange import (
    LIFETIMES,
    TOTAL_TIMEOUT,
    Ages,
    Batch,
    Cooldown,
    Failing,
    Lifetimes,
    MediumError,
    Picture,
    Sample,
    Use,
)
from router.state.ledger import Ledger

HEARD_MOST = 1000
"""Cooldowns that wait to be taken in; the next picture has those that find no room."""


class Line(Protocol):
    """The way to whoever keeps the ledger. Raises OSError where it is cut, TimeoutError after `within` seconds."""

    def ask(self, what: str, told: Any, within: float) -> Awaitable[Any]: ...
    def tell(self, what: str, told: Any) -> None: ...


class LocalMedium:
    """A worker's side."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._heard: asyncio.Queue[Cooldown] = asyncio.Queue(HEARD_MOST)

    async def trade(self, batch: Batch) -> Picture:
        try:
            return picture_of(await self._line.ask("trade", plain(batch), TOTAL_TIMEOUT))
        except TimeoutError as error:
            raise MediumError("timeout", "the supervisor does not answer") from error
        except OSError as error:
            raise MediumError("unreachable", "the supervisor is gone") from error

    async def publish(self, replica: str, cooldown: Cooldown) -> None:
        try:
            self._line.tell("publish", [replica, plain(cooldown)])
        except OSError as error:
            raise MediumError("unreachable", "the supervisor is gone") from error

    def hear(self, told: Any) -> None:
        """A sibling has published a cooldown."""
        if not self._heard.full():
            self._heard.put_nowait(Cooldown(*told))

    async def listen(self, replica: str) -> AsyncGenerator[Cooldown, None]:
        while True:
            yield await self._heard.get()

    async def leave(self, replica: str) -> None:
        try:
            self._line.tell("leave", replica)
        except OSError:
            pass  # who is gone has let go of everything

    async def close(self) -> None:
        """The line is closed by whoever has opened it."""


class Keeper:
    """The supervisor's side. `spread` hands a published cooldown to every worker but the one that told of it."""

    def __init__(self, clock: Clock, spread: Callable[[int, Any], None], lifetimes: Lifetimes = LIFETIMES) -> None:
        self._clock = clock
        self._spread = spread
        self._ledger = Ledger(lifetimes)
        self._replicas: dict[int, set[str]] = {}

    def trade(self, worker: int, told: Any) -> Any:
        batch = batch_of(told)
        self._replicas.setdefault(worker, set()).add(batch.replica)
        return plain(self._ledger.trade(batch, self._clock()))

    def publish(self, worker: int, told: Any) -> None:
        _, cooldown = told
        self._ledger.cool(Cooldown(*cooldown), self._clock())
        self._spread(worker, cooldown)

    def leave(self, replica: str) -> None:
        self._ledger.leave(replica)

    def lost(self, worker: int) -> None:
        """The worker has died: nothing of its is under way any more, and no lease needs to run out."""
        for replica in self._replicas.pop(worker, ()):
            self._ledger.leave(replica)


def plain(value: Any) -> Any:
    """`value` as lists, dictionaries and scalars."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value


def batch_of(told: Any) -> Batch:
    replica, sequence, turn, uses, ages, failing, trials, recovered, samples, spent, cooldowns, known = told
    return Batch(
        replica,
        sequence,
        turn,
        _each(Use, uses),
        None if ages is None else _each(Ages, ages),
        _each(Failing, failing),
        trials,
        recovered,
        {backend: _sample(sample) for backend, sample in samples.items()},
        spent,
        [Cooldown(*each) for each in cooldowns],
        known,
    )


def picture_of(told: Any) -> Picture:
    acknowledged, newcomer, live, uses, cooldowns, openings, recovered, held, samples, spent = told
    return Picture(
        acknowledged,
        newcomer,
        live,
        _each(Use, uses),
        [Cooldown(*each) for each in cooldowns],
        openings,
        recovered,
        held,
        {backend: [_sample(sample) for sample in several] for backend, several in samples.items()},
        spent,
    )


def _each(kind: Callable[..., Any], told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: kind(*fields) for name, fields in told.items()}


def _sample(told: Any) -> Sample:
    first_token, whole = (None if part is None else tuple(part) for part in told)
    return Sample(first_token, whole)
