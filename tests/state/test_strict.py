from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import fakeredis
import pytest

from router.core.limits import Meter, Reservation, Spent
from router.core.redis_address import parse_redis_url
from router.core.types import Limits, Strict, Usage
from router.state.redis.client import connect
from router.state.redis.exact import RedisExact
from router.state.strict import Refusal, StrictLimits
from tests.state.redis_servers import RedisServer, redis_server

OPEN = Limits(rpm=10, tpm=1000, strict=Strict(rpm=True, tpm=True))
CLOSED = Limits(rpm=10, tpm=1000, strict=Strict(rpm=True, tpm=True, closed=True))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["fakeredis", "redis"])
def exact(request: pytest.FixtureRequest) -> RedisExact:
    if request.param == "fakeredis":
        fake = fakeredis.FakeServer()
        return RedisExact(lambda: fakeredis.FakeAsyncRedis(server=fake), "router")
    server: RedisServer = request.getfixturevalue("server")
    with server.admin() as admin:
        admin.flushall()
    address = parse_redis_url(server.url)
    return RedisExact(lambda: connect(address), "router")


def reservation(tokens: int = 1) -> Reservation:
    meter = Meter()
    meter.cover(OPEN)
    return meter.reserve(0.0, tokens)


async def patient(strict: StrictLimits, limits: Limits, held: Reservation) -> Refusal | None:
    """Asked again where a busy machine took longer than the budget."""
    for _ in range(50):
        before = strict.outcomes["open"] + strict.outcomes["closed"]
        refusal = await strict.take("a", limits, held)
        if strict.outcomes["open"] + strict.outcomes["closed"] == before:
            return refusal
    raise AssertionError("never answered in time")


async def test_never_more_than_the_limit_is_admitted(exact: RedisExact) -> None:
    answers = await asyncio.gather(*(exact.take("a", OPEN, 1) for _ in range(40)))
    refused = [each for each in answers if isinstance(each, Refusal)]
    assert len(answers) - len(refused) == 10
    assert {each.short for each in refused} == {"rpm"}
    assert all(58.0 < each.wait <= 62.0 for each in refused)
    await exact.close()


async def test_tokens_are_counted_beside_requests_and_a_giant_fits_an_empty_minute(exact: RedisExact) -> None:
    assert not isinstance(await exact.take("a", OPEN, 5000), Refusal)
    refusal = await exact.take("a", OPEN, 1)
    assert isinstance(refusal, Refusal)
    assert refusal.short == "tpm"
    assert not isinstance(await exact.take("b", OPEN, 1), Refusal), "a subject of its own"
    await exact.close()


async def test_only_what_is_strict_is_asked_for(exact: RedisExact) -> None:
    tokens_only = Limits(rpm=1, tpm=1000, strict=Strict(tpm=True))
    for _ in range(3):
        assert not isinstance(await exact.take("a", tokens_only, 10), Refusal)
    await exact.close()


async def test_what_was_not_used_comes_back(exact: RedisExact) -> None:
    strict = StrictLimits(exact, lambda: False)
    telling = asyncio.ensure_future(strict.run())
    unsent, short = reservation(400), reservation(600)
    assert await patient(strict, OPEN, unsent) is None
    assert await patient(strict, OPEN, short) is None
    full = await exact.take("a", OPEN, 500)
    assert isinstance(full, Refusal)
    unsent.settle(Spent.NOTHING, None)
    short.settle(Spent.ESTIMATE, Usage(50, 50))
    for _ in range(200):
        await asyncio.sleep(0.01)
        if not isinstance(await exact.take("a", OPEN, 900), Refusal):
            break
    else:
        raise AssertionError("still full")
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)


@pytest.mark.parametrize("limits", [OPEN, CLOSED])
async def test_a_redis_that_hangs_costs_twenty_milliseconds_and_the_configured_side(
    server: RedisServer, limits: Limits
) -> None:
    address = parse_redis_url(server.url)
    exact = RedisExact(lambda: connect(address), "router")
    strict = StrictLimits(exact, lambda: False)
    await patient(strict, limits, reservation())
    server.hang()
    try:
        began = time.monotonic()
        refusal = await strict.take("a", limits, reservation())
        assert time.monotonic() - began < 0.5
    finally:
        server.wake()
    assert refusal == (Refusal(None, 1.0) if limits is CLOSED else None)
    assert strict.outcomes["closed" if limits is CLOSED else "open"] >= 1
    await patient(strict, limits, reservation())
    await exact.close()


async def test_while_nobody_can_be_heard_nobody_is_asked(server: RedisServer) -> None:
    class Unasked:
        async def take(self, *_: object) -> Refusal:
            raise AssertionError

        async def correct(self, *_: object) -> None: ...
        async def close(self) -> None: ...

    strict = StrictLimits(Unasked(), lambda: True)
    assert await strict.take("a", OPEN, reservation()) is None
    assert await strict.take("a", CLOSED, reservation()) == Refusal(None, 1.0)
