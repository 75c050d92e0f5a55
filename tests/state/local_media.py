"""Workers' ways to one keeper, with what travels on them as JSON in between."""

from __future__ import annotations

from typing import Any

import orjson

from router.core.clock import Clock
from router.state.exchange import LIFETIMES, Lifetimes
from router.state.local import Keeper, LocalMedium


class Wire:
    """The line of worker `number`, short and never cut."""

    def __init__(self, keeper: Keeper, number: int) -> None:
        self._keeper = keeper
        self._number = number

    async def ask(self, what: str, told: Any, within: float) -> Any:
        assert what == "trade"
        return _sent(self._keeper.trade(self._number, _sent(told)))

    def tell(self, what: str, told: Any) -> None:
        if what == "leave":
            self._keeper.leave(told)
        else:
            assert what == "publish"
            self._keeper.publish(self._number, _sent(told))


def local_media(count: int, clock: Clock, lifetimes: Lifetimes = LIFETIMES) -> list[LocalMedium]:
    def spread(worker: int, cooldown: Any) -> None:
        for number, medium in enumerate(media):
            if number != worker:
                medium.hear(_sent(cooldown))

    keeper = Keeper(clock, spread, lifetimes)
    media = [LocalMedium(Wire(keeper, number)) for number in range(count)]
    return media


def _sent(message: Any) -> Any:
    return orjson.loads(orjson.dumps(message))
