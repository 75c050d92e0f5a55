"""Names to addresses: order, rotation, how long an answer is used, and what happens when there is none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

import pytest

from router.upstream.names import KEPT, Names
from router.upstream.sockets import Address
from tests.upstream.test_connect import v4, v6
from tests.virtual_time import VirtualTimeLoop

TRY_AGAIN = socket.gaierror(socket.EAI_AGAIN, "try again")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "unknown")


class Resolver(VirtualTimeLoop):
    """A loop whose name server gives these answers, one after the other and then the last again, after a while."""

    def __init__(self, *answers: list[Address] | Exception, seconds: float = 0.0) -> None:
        super().__init__()
        self._answers = list(answers)
        self._seconds = seconds
        self.asked = 0

    async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> list[Any]:
        assert kwargs == {"type": socket.SOCK_STREAM}
        self.asked += 1
        await asyncio.sleep(self._seconds)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return [(family, socket.SOCK_STREAM, proto, "", address) for family, proto, address in answer]

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        try:
            self.run_until_complete(story)
        finally:
            self.close()


def test_families_take_turns_in_the_resolver_s_order() -> None:
    loop = Resolver([v6(1), v6(2), v6(3), v4(1)])

    async def story() -> None:
        assert await Names().resolve("upstream.test", 80) == [v6(1), v4(1), v6(2), v6(3)]

    loop.run(story())


def test_every_address_is_the_first_in_its_turn() -> None:
    loop = Resolver([v6(1), v4(1), v6(2), v4(2), v4(3)])

    async def story() -> None:
        names = Names()
        orders = [await names.resolve("upstream.test", 80) for _ in range(6)]
        assert [order[0] for order in orders] == [v6(1), v6(2)] * 3, "the resolver's favourite family goes first"
        assert [order[1] for order in orders] == [v4(1), v4(2), v4(3)] * 2
        assert all(sorted(map(str, order)) == sorted(map(str, orders[0])) for order in orders)
        assert loop.asked == 1

    loop.run(story())


@pytest.mark.parametrize(("host", "family"), [("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6)])
def test_an_address_is_not_looked_up(host: str, family: socket.AddressFamily) -> None:
    loop = Resolver(UNKNOWN)

    async def story() -> None:
        ((found, proto, address),) = await Names().resolve(host, 80)
        assert (found, proto, address[:2]) == (family, socket.IPPROTO_TCP, (host, 80))

    loop.run(story())


def test_a_name_without_addresses_is_not_resolved() -> None:
    loop = Resolver([])

    async def story() -> None:
        with pytest.raises(socket.gaierror):
            await Names().resolve("upstream.test", 80)

    loop.run(story())


def test_an_answer_is_used_for_half_a_minute() -> None:
    loop = Resolver([v4(1)], [v4(2)])

    async def story() -> None:
        names = Names()
        for seconds, address in ((0.0, v4(1)), (29.0, v4(1)), (2.0, v4(2))):
            await asyncio.sleep(seconds)
            assert await names.resolve("upstream.test", 80) == [address]
        assert await names.resolve("other.test", 80) == [v4(2)]
        assert await names.resolve("upstream.test", 81) == [v4(2)]
        assert loop.asked == 4

    loop.run(story())


def test_failures_are_not_remembered() -> None:
    loop = Resolver(TRY_AGAIN, UNKNOWN, UnicodeError(), [v4(1)])

    async def story() -> None:
        names = Names()
        for error in (socket.gaierror, socket.gaierror, UnicodeError):
            with pytest.raises(error):
                await names.resolve("upstream.test", 80)
        assert await names.resolve("upstream.test", 80) == [v4(1)]

    loop.run(story())


def test_an_old_answer_is_better_than_none() -> None:
    loop = Resolver([v4(1)], TRY_AGAIN, TRY_AGAIN, [v4(2)])

    async def story() -> None:
        names = Names()
        await names.resolve("upstream.test", 80)
        await asyncio.sleep(31)
        for _ in range(3):
            assert await names.resolve("upstream.test", 80) == [v4(1)]
        assert loop.asked == 2, "a failing name server is given a rest"
        await asyncio.sleep(5.1)
        assert await names.resolve("upstream.test", 80) == [v4(1)]
        await asyncio.sleep(5.1)
        assert await names.resolve("upstream.test", 80) == [v4(2)]

    loop.run(story())


def test_an_old_answer_is_not_used_for_ever() -> None:
    loop = Resolver([v4(1)], UNKNOWN)

    async def story() -> None:
        names = Names()
        await names.resolve("upstream.test", 80)
        await asyncio.sleep(601)
        with pytest.raises(socket.gaierror):
            await names.resolve("upstream.test", 80)

    loop.run(story())


def test_all_who_ask_at_once_share_one_answer() -> None:
    loop = Resolver([v4(1), v4(2)], seconds=1.0)

    async def story() -> None:
        names = Names()
        answers = await asyncio.gather(*(names.resolve("upstream.test", 80) for _ in range(4)))
        assert [answer[0] for answer in answers] == [v4(1), v4(2)] * 2
        assert loop.asked == 1

    loop.run(story())


@pytest.mark.parametrize("answer", [[v4(1)], UNKNOWN])
def test_one_who_stops_waiting_takes_nothing_from_the_others(answer: list[Address] | Exception) -> None:
    loop = Resolver(answer, seconds=1.0)

    async def story() -> None:
        names = Names()
        tasks = [asyncio.create_task(names.resolve("upstream.test", 80)) for _ in range(2)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1] == answer
        alone = asyncio.create_task(names.resolve("other.test", 80))
        await asyncio.sleep(0.5)
        alone.cancel()
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert names._asking == {}

    loop.run(story())


def test_no_more_names_are_kept_than_that() -> None:
    loop = Resolver([v4(1)])

    async def story() -> None:
        names = Names()
        for number in range(KEPT + 10):
            await names.resolve(f"{number}.test", 80)
        assert len(names._answers) == KEPT

    loop.run(story())
