"""Strict limits in Redis: one scripted call for each request, on connections of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.core.quota import Shortage
from router.core.types import Limits
from router.state.books import Booked, Refusal
from router.state.redis.client import FAILURES, Client, close
from router.state.redis.medium import Script, medium_error, prefix_of

_SHORT: tuple[Shortage, Shortage] = ("rpm", "tpm")
_NONE = -1


class RedisExact:
    """Each request has a connection to itself until it is answered."""

    def __init__(self, connect: Callable[[], Client], namespace: str) -> None:
        self._client = connect()
        self._strict = prefix_of(namespace) + "strict:"
        self._booked = prefix_of(namespace) + "booked:"
        self._take = Script("strict.lua")
        self._correct = Script("correct.lua")
        self._book = Script("book.lua")

    async def take(self, subject: str, limits: Limits, tokens: int) -> Booked | Refusal:
        strict = limits.strict
        rpm = limits.rpm if strict is not None and strict.rpm else None
        tpm = limits.tpm if strict is not None and strict.tpm else None
        arguments = (_NONE if rpm is None else rpm, _NONE if tpm is None else tpm, tokens)
        answer, short = await self._call(self._take, [self._strict + subject], *arguments)
        return Booked(answer) if answer >= 0 and not short else Refusal(_SHORT[short - 1], -answer / 1000.0)

    async def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None:
        await self._call(self._correct, [self._strict + subject], booked.second, requests, tokens)

    async def book(self, subject: str, age: int, requests: int, tokens: int, name: str) -> Booked:
        keys = [self._strict + subject, self._booked + name]
        return Booked(await self._call(self._book, keys, age, requests, tokens))

    async def close(self) -> None:
        await close(self._client)

    async def _call(self, script: Script, keys: list[str], *arguments: int) -> Any:
        try:
            return await script.call(self._client, keys, *arguments)
        except FAILURES as error:
            raise medium_error(error) from error
