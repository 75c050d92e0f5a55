"""Strict limits in Redis: one scripted call for each request, on connections of their own."""

from __future__ import annotations

from collections.abc import Callable

from router.core.quota import Shortage
from router.core.types import Limits
from router.state.books import Booked, Refusal
from router.state.redis.client import FAILURES, Client, close
from router.state.redis.medium import LAYOUT, Script, medium_error

_SHORT: tuple[Shortage, Shortage] = ("rpm", "tpm")
_NONE = -1


class RedisExact:
    """Each request has a connection to itself until it is answered."""

    def __init__(self, connect: Callable[[], Client], namespace: str) -> None:
        self._client = connect()
        self._prefix = f"{{{namespace}}}:{LAYOUT}:strict:"
        self._booked = f"{{{namespace}}}:{LAYOUT}:booked:"
        self._take = Script("strict.lua")
        self._correct = Script("correct.lua")
        self._book = Script("book.lua")

    async def take(self, subject: str, limits: Limits, tokens: int) -> Booked | Refusal:
        strict = limits.strict
        rpm = limits.rpm if strict is not None and strict.rpm else None
        tpm = limits.tpm if strict is not None and strict.tpm else None
        arguments = (_NONE if rpm is None else rpm, _NONE if tpm is None else tpm, tokens)
        try:
            answer, short = await self._take.call(self._client, [self._prefix + subject], *arguments)
        except FAILURES as error:
            raise medium_error(error) from error
        return Booked(answer) if answer >= 0 and not short else Refusal(_SHORT[short - 1], -answer / 1000.0)

    async def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None:
        try:
            await self._correct.call(self._client, [self._prefix + subject], booked.second, requests, tokens)
        except FAILURES as error:
            raise medium_error(error) from error

    async def book(self, subject: str, age: int, requests: int, tokens: int, name: str) -> Booked:
        keys = [self._prefix + subject, self._booked + name]
        try:
            return Booked(await self._book.call(self._client, keys, age, requests, tokens))
        except FAILURES as error:
            raise medium_error(error) from error

    async def close(self) -> None:
        await close(self._client)
