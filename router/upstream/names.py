"""Names to addresses, through the event loop's resolver, remembered for a short while."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from router.upstream.sockets import Address

TTL = 30.0
"""Seconds an answer is used without asking again. The resolver does not tell us the record's own."""

STALE = 600.0
"""Seconds an answer is used for want of a better one: while the name server fails, upstreams are still there."""

RETRY = 5.0
"""Seconds until a failing name server is asked again, while an old answer does. Without one, every time."""

KEPT = 1024
"""Names remembered."""


@dataclass(slots=True)
class _Answer:
    addresses: list[Address]
    asked: float
    fresh_until: float
    turn: int = 0


class Names:
    """A cache of `getaddrinfo`. Who asks for what is being asked already waits for the same answer."""

    def __init__(self, ttl: float = TTL, stale: float = STALE) -> None:
        self._ttl = ttl
        self._stale = stale
        self._answers: dict[tuple[str, int], _Answer] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[_Answer]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Addresses in the order to try them: families take turns, the resolver's favourite first; within a family, a
        different address comes first each time. Raises OSError or UnicodeError."""
        literal = literal_address(host, port)
        if literal is not None:
            return [literal]
        answer = self._answers.get((host, port))
        if answer is None or answer.fresh_until <= asyncio.get_running_loop().time():
            answer = await self._ask_once((host, port))
        answer.turn += 1
        return in_turn(answer.addresses, answer.turn - 1)

    async def _ask_once(self, name: tuple[str, int]) -> _Answer:
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.get_running_loop().create_task(self._ask(name))
            task.add_done_callback(lambda task: self._asked(name, task))
        return await asyncio.shield(task)  # another may be waiting for it

    def _asked(self, name: tuple[str, int], task: asyncio.Task[_Answer]) -> None:
        del self._asking[name]
        if not task.cancelled():
            task.exception()  # even if everyone has stopped waiting

    async def _ask(self, name: tuple[str, int]) -> _Answer:
        loop = asyncio.get_running_loop()
        host, port = name
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            if not found:
                raise socket.gaierror(socket.EAI_NONAME, "no address")
        except (OSError, UnicodeError):
            old = self._answers.get(name)
            now = loop.time()
            if old is None or now >= old.asked + self._stale:
                self._answers.pop(name, None)
                raise
            old.fresh_until = now + RETRY
            return old
        now = loop.time()
        answer = _Answer([(family, proto, address) for family, _, proto, _, address in found], now, now + self._ttl)
        if (old := self._answers.pop(name, None)) is not None:
            answer.turn = old.turn
        elif len(self._answers) >= KEPT:
            del self._answers[next(iter(self._answers))]
        self._answers[name] = answer
        return answer


def literal_address(host: str, port: int) -> Address | None:
    """The address that `host` is, or None where it is a name."""
    try:
        socket.inet_pton(socket.AF_INET, host)
        return (socket.AF_INET, socket.IPPROTO_TCP, (host, port))
    except (OSError, ValueError):
        pass
    try:
        socket.inet_pton(socket.AF_INET6, host)
        return (socket.AF_INET6, socket.IPPROTO_TCP, (host, port, 0, 0))
    except (OSError, ValueError):
        return None


def in_turn(addresses: Sequence[Address], turn: int) -> list[Address]:
    """`addresses` with the families taking turns, and each family begun `turn` places further on."""
    favourite = addresses[0][0]
    first = [address for address in addresses if address[0] == favourite]
    others = [address for address in addresses if address[0] != favourite]
    rotated = (_rotated(first, turn), _rotated(others, turn))
    return [address for address in chain(*zip_longest(*rotated)) if address is not None]


def _rotated(addresses: list[Address], turn: int) -> list[Address]:
    start = turn % len(addresses) if addresses else 0
    return addresses[start:] + addresses[:start]
