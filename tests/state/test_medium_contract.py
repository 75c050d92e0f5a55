"""What every medium owes, be it in memory or a Redis of whatever kind."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import fakeredis
import pytest
import pytest_asyncio

from router.core.redis_address import parse_redis_url
from router.state.exchange import LIFETIMES, Ages, Batch, Cooldown, Failing, Lifetimes, Medium, Picture, Sample, Use
from router.state.ledger import Ledger
from router.state.local import LocalMedium
from router.state.redis.client import connect
from router.state.redis.link import dialer
from router.state.redis.medium import RedisMedium
from tests.core.making import FakeClock
from tests.state.local_media import local_media
from tests.state.redis_servers import RedisServer, redis_cluster, redis_password, redis_server, redis_tls
from tests.state.replicas import LedgerMedium

BRIEF = Lifetimes(lease=0.6, minute=1.8, trial=0.8, offer=0.4, sequence=60.0)
"""Seconds, as Redis has a clock of its own."""

PATIENCE = 10.0
"""Seconds: what a busy machine needs is no business of the contract."""

SERVERS: dict[str, Callable[[Path], AbstractContextManager[RedisServer]]] = {
    "redis": redis_server,
    "password": redis_password,
    "tls": redis_tls,
    "cluster": redis_cluster,
    "valkey": partial(redis_server, program="valkey-server"),
}


@dataclass
class Setting:
    """Three replicas' ways to one medium. `wait` lets time pass."""

    media: list[Medium]
    wait: Callable[[float], Awaitable[None]]

    def __post_init__(self) -> None:
        self._turn = 0

    async def trade(self, number: int, **batch: object) -> Picture:
        self._turn += 1
        fields = {"sequence": 1, "turn": self._turn} | batch
        return await self.media[number].trade(Batch(f"r{number}", **fields))  # type: ignore[arg-type]

    async def join(self) -> None:
        for number in range(3):
            await self.trade(number)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """How time passes is the script's business, and none of the connection's: tests that take `lifetimes`, and so wait
    for them, run over each kind of clock only."""
    kinds = ["ledger", "local", "fakeredis", "redis"]
    if "lifetimes" not in metafunc.fixturenames:
        kinds += ["password", "tls", "cluster"]
    if shutil.which("valkey-server"):
        kinds.append("valkey")
    metafunc.parametrize("place", kinds, indirect=True, scope="module")


@pytest.fixture
def lifetimes() -> Lifetimes:
    return BRIEF


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | RedisServer]:
    if request.param not in SERVERS:
        yield request.param
        return
    folder = tmp_path_factory.mktemp(request.param)
    with SERVERS[request.param](folder) as server:
        yield server


@pytest_asyncio.fixture
async def setting(place: str | RedisServer, request: pytest.FixtureRequest) -> AsyncIterator[Setting]:
    kept = BRIEF if "lifetimes" in request.fixturenames else LIFETIMES
    if place == "ledger":
        clock = FakeClock()
        ledger = LedgerMedium(clock, Ledger(kept))

        async def advance(seconds: float) -> None:
            clock.advance(seconds)

        yield Setting([ledger] * 3, advance)
        return
    if place == "local":
        yield Setting(list(local_media(3, asyncio.get_running_loop().time, kept)), asyncio.sleep)
        return
    media: list[Medium]
    if isinstance(place, RedisServer):
        with place.admin() as admin:
            admin.flushall()
        address = parse_redis_url(place.url)
        dial = dialer(address, PATIENCE, PATIENCE)
        media = [
            RedisMedium(lambda: connect(address, PATIENCE, PATIENCE), "router", kept, dial, PATIENCE) for _ in range(3)
        ]
    else:
        fake = fakeredis.FakeServer()
        media = [RedisMedium(lambda: fakeredis.FakeAsyncRedis(server=fake), "router", kept) for _ in range(3)]
    yield Setting(media, asyncio.sleep)
    for medium in media:
        await medium.close()


def near(seconds: float) -> object:
    """A time that has run for a while, on a busy machine."""
    return pytest.approx(seconds, abs=1.5)


async def test_a_batch_reaches_the_others_and_not_its_sender(setting: Setting) -> None:
    await setting.join()
    own = await setting.trade(0, uses={"a": Use(3, 5, 700), "key:team": Use(1)})
    assert own.uses == {}
    await setting.trade(1, uses={"a": Use(1, 2, 30)})
    seen = await setting.trade(2)
    assert seen.uses == {"a": Use(4, 7, 730), "key:team": Use(1)}
    assert seen.live == 3


async def test_a_later_batch_takes_the_place_of_an_earlier_one(setting: Setting) -> None:
    await setting.trade(0, uses={"a": Use(3)})
    await setting.trade(0, uses={"b": Use(1)})
    assert (await setting.trade(1)).uses == {"b": Use(1)}


async def test_a_batch_that_was_held_up_changes_nothing(setting: Setting) -> None:
    await setting.trade(0, turn=8, uses={"a": Use(1)})
    await setting.trade(0, turn=7, uses={"a": Use(99)})
    assert (await setting.trade(1)).uses == {"a": Use(1)}


async def test_a_replica_is_a_newcomer_once(setting: Setting) -> None:
    assert (await setting.trade(0)).newcomer
    assert not (await setting.trade(0)).newcomer
    assert (await setting.trade(1)).newcomer


async def test_what_is_in_flight_goes_with_the_lease(setting: Setting, lifetimes: Lifetimes) -> None:
    await setting.trade(0, uses={"a": Use(200)})
    assert (await setting.trade(1)).live == 2
    await setting.wait(lifetimes.lease + 0.05)
    seen = await setting.trade(1)
    assert seen.uses == {}
    assert seen.live == 1


async def test_who_leaves_is_gone_at_once_and_what_it_used_counts_on(setting: Setting) -> None:
    await setting.trade(0, uses={"a": Use(2, 10, 100)}, ages={"a": Ages([10], [100])})
    await setting.media[0].leave("r0")
    seen = await setting.trade(1)
    assert seen.live == 1
    assert seen.uses == {"a": Use(0, 10, 100)}


async def test_what_a_dead_replica_used_leaves_by_age(setting: Setting, lifetimes: Lifetimes) -> None:
    """Six parts of a minute that lasts 1.8 s: 0.3 s each."""
    await setting.trade(0, uses={"a": Use(1, 11, 0)}, ages={"a": Ages([1, 2, 0, 0, 3, 4], [])})
    await setting.wait(lifetimes.lease + 0.05)
    seen = (await setting.trade(1)).uses["a"]
    assert seen == Use(0, 1 + 2 + 1, 0), "what came 1.2 s before is older than the minute, what ages do not tell is new"
    await setting.wait(lifetimes.minute)
    assert (await setting.trade(1)).uses == {}


async def test_a_claim_counts_as_used_until_its_replica_is_dead(setting: Setting, lifetimes: Lifetimes) -> None:
    await setting.trade(0, uses={"a": Use(1, 3, 50, 40, 0)}, ages={"a": Ages([3], [50])})
    await setting.trade(2, uses={"a": Use(0, 2, 30, 0, 70)}, ages={"a": Ages([2], [30])})
    assert (await setting.trade(1)).uses == {"a": Use(1, 40 + 2, 50 + 70)}
    await setting.wait(lifetimes.lease + 0.05)
    assert (await setting.trade(1)).uses == {"a": Use(0, 3 + 2, 50 + 30)}


async def test_deltas_are_applied_once_for_each_sequence(setting: Setting) -> None:
    await setting.join()
    for _ in range(3):
        assert (await setting.trade(0, sequence=2, spent={"team": 0.5})).acknowledged == 2
    await setting.trade(0, sequence=3, spent={"team": 0.25})
    assert (await setting.trade(1)).spent == {"team": 0.75}


async def test_spending_is_told_to_those_who_have_not_heard_of_it(setting: Setting) -> None:
    await setting.join()
    await setting.wait(0.01)
    await setting.join()
    await setting.trade(0, sequence=2, spent={"team": 1.0})
    assert (await setting.trade(1)).spent == {"team": 1.0}
    await setting.wait(0.01)
    assert (await setting.trade(1)).spent in ({"team": 1.0}, {})
    await setting.wait(0.01)
    assert (await setting.trade(1)).spent == {}


async def test_what_is_known_of_the_spending_comes_back_after_a_loss(setting: Setting) -> None:
    await setting.trade(0, sequence=1, known={"team": 3.0})
    await setting.trade(1, sequence=1, known={"team": 2.0})
    assert (await setting.trade(2)).spent == {"team": 3.0}


async def test_a_period_long_past_is_forgotten(setting: Setting) -> None:
    """For mediums that know the date."""
    await setting.trade(0, sequence=1, spent={"key:a@5/3600": 1.0, "key:b@5/0": 1.0})
    await setting.trade(0, sequence=1)
    assert "key:b@5/0" in (await setting.trade(1)).spent
    if not isinstance(setting.media[0], LedgerMedium | LocalMedium):
        assert "key:a@5/3600" not in (await setting.trade(2)).spent


async def test_a_cooldown_is_everybodys_until_its_end_and_a_later_end_wins(
    setting: Setting, lifetimes: Lifetimes
) -> None:
    await setting.trade(0, cooldowns=[Cooldown("a", 1, 0.6, True), Cooldown("b", None, 30.0)])
    await setting.trade(1, cooldowns=[Cooldown("a", 1, 0.2), Cooldown("b", None, 60.0)])
    seen = {(each.backend, each.key): each for each in (await setting.trade(2)).cooldowns}
    assert set(seen) == {("a", 1), ("b", None)}
    assert 0.2 < seen["a", 1].seconds <= 0.601
    assert seen["a", 1].refused
    assert seen["b", None].seconds == near(60.0)
    await setting.wait(0.65)
    assert [each.backend for each in (await setting.trade(2)).cooldowns] == ["b"]


async def test_a_published_cooldown_is_heard_by_the_others_and_kept(setting: Setting) -> None:
    async def hear(number: int) -> Cooldown:
        async for cooldown in setting.media[number].listen(f"r{number}"):
            return cooldown
        raise AssertionError("it ended")

    own, other = asyncio.ensure_future(hear(0)), asyncio.ensure_future(hear(1))
    for _ in range(100):
        await setting.media[0].publish("r0", Cooldown("a", 0, 20.0))
        done, _ = await asyncio.wait([other], timeout=0.1)
        if done:
            break
    assert other.result()[:2] == ("a", 0)
    assert other.result().seconds == near(20.0)
    assert not own.done(), "nobody hears himself"
    own.cancel()
    await asyncio.gather(own, return_exceptions=True)
    assert (await setting.trade(2)).cooldowns[0].seconds == pytest.approx(20.0, abs=11.0)


async def test_who_listens_can_be_stopped_at_any_moment(setting: Setting) -> None:
    async def listen() -> None:
        async for _ in setting.media[0].listen("r0"):
            pass

    for steps in range(30):
        listening = asyncio.ensure_future(listen())
        for _ in range(steps):
            await asyncio.sleep(0)
        listening.cancel()
        done, _ = await asyncio.wait([listening], timeout=PATIENCE)
        assert done, f"after {steps} steps"


async def test_an_opening_is_shared_once_two_have_seen_failures(setting: Setting) -> None:
    await setting.trade(0, failing={"a": Failing(20.0, 0.1)})
    assert (await setting.trade(2)).openings == {}
    await setting.trade(1, failing={"a": Failing(0.0, 0.1), "b": Failing(0.0, 0.1)})
    assert (await setting.trade(2)).openings == {"a": near(20.0)}
    assert (await setting.trade(2, failing={"b": Failing(0.0, 0.1)})).openings == {"a": near(20.0)}, "b is open nowhere"


async def test_a_recovery_makes_earlier_failures_old_news(setting: Setting) -> None:
    await setting.join()
    for number in (0, 1):
        await setting.trade(number, failing={"a": Failing(20.0, 0.0)})
    await setting.wait(0.02)
    await setting.trade(2, recovered=["a"])
    seen = await setting.trade(0, failing={"a": Failing(20.0, 0.1)})
    assert seen.recovered == {"a": near(0.0)}
    assert seen.openings == {}
    await setting.wait(0.02)
    for number in (0, 1):
        seen = await setting.trade(number, failing={"a": Failing(40.0, 0.0)})
    assert seen.openings == {"a": near(40.0)}


async def test_a_trial_is_one_replicas_at_a_time(setting: Setting, lifetimes: Lifetimes) -> None:
    assert (await setting.trade(0, trials={"a": False})).held == {}
    assert set((await setting.trade(1, trials={"a": False})).held) == {"a"}
    for _ in range(4):
        await setting.wait(0.3)
        assert (await setting.trade(0, trials={"a": True})).held == {}
        assert set((await setting.trade(1, trials={"a": False})).held) == {"a"}
    await setting.trade(0)
    assert (await setting.trade(1, trials={"a": False})).held == {}, "it was given back"
    assert set((await setting.trade(0, trials={"a": False})).held) == {"a"}


async def test_a_trial_that_nobody_begins_is_offered_to_the_next(setting: Setting, lifetimes: Lifetimes) -> None:
    assert (await setting.trade(0, trials={"a": False})).held == {}
    await setting.wait(0.25)
    assert (await setting.trade(0, trials={"a": False})).held == {}
    await setting.wait(0.25)
    assert (await setting.trade(1, trials={"a": False})).held == {}
    assert set((await setting.trade(0, trials={"a": False})).held) == {"a"}


async def test_a_trial_ends_with_its_replica(setting: Setting, lifetimes: Lifetimes) -> None:
    await setting.trade(0, trials={"a": True})
    await setting.wait(lifetimes.trial + 0.05)
    assert (await setting.trade(1, trials={"a": False})).held == {}
    await setting.media[1].leave("r1")
    assert (await setting.trade(2, trials={"a": True})).held == {}


async def test_what_was_measured_is_told_once(setting: Setting) -> None:
    await setting.join()
    await setting.wait(0.01)
    await setting.join()
    await setting.trade(0, samples={"a": Sample((100, 0.5), (20, 3.0)), "b": Sample(None, (1, 0.1))})
    await setting.trade(1, samples={"b": Sample((7, 0.25), None)})
    seen = await setting.trade(2)
    assert seen.samples["a"] == [Sample((100, 0.5), (20, 3.0))]
    assert set(seen.samples["b"]) == {Sample((7, 0.25), None), Sample(None, (1, 0.1))}
    await setting.wait(0.01)
    await setting.trade(2)
    assert (await setting.trade(2)).samples == {}


async def test_a_hundred_dead_leave_nothing_behind(
    place: str | RedisServer, setting: Setting, lifetimes: Lifetimes
) -> None:
    for number in range(100):
        batch = Batch(f"dead{number}", 0, 1, {"a": Use(200, 10, 10)}, {"a": Ages([10], [10])}, trials={"a": True})
        await setting.media[0].trade(batch)
    seen = await setting.trade(1)
    assert seen.uses["a"].in_flight >= 200
    await setting.wait(lifetimes.lease + 0.1)
    seen = await setting.trade(1)
    assert seen.uses["a"].in_flight == 0
    assert seen.live == 1
    await setting.wait(lifetimes.minute + 0.1)
    seen = await setting.trade(1)
    assert (seen.uses, seen.held, seen.live) == ({}, {}, 1)
    if isinstance(place, RedisServer):
        with place.admin() as admin:
            assert admin.hkeys("{router}:v2:replicas") == [b"r1"]
            assert set(admin.keys("*")) == {b"{router}:v2:replicas"}


async def test_what_was_written_before_the_clock_was_set_back_is_dropped(
    place: str | RedisServer, setting: Setting
) -> None:
    """An hour ago it was an hour later: leases and cooldowns of then would last an hour too long."""
    if not isinstance(place, RedisServer):
        pytest.skip("its clock can not be set")
    later = round((time.time() + 3600.0) * 1000)
    with place.admin() as admin:
        admin.hset("{router}:v2:replicas", "ghost", f'[{later},7,0,{{"a":[9000,0]}}]\n')
        admin.hset("{router}:v2:cooldowns", "a:0", f"{later} {later + 20_000} 0")
        admin.hset("{router}:v2:trials", "a", f"ghost {later + 3_000}")
        admin.hset("{router}:v2:recovered", "a", f"{later} ghost")
        await setting.trade(0, uses={"b": Use(1)})
        seen = await setting.trade(1)
        assert (seen.live, seen.uses, seen.cooldowns, seen.held, seen.recovered) == (2, {"b": Use(1)}, [], {}, {})
        assert not admin.hexists("{router}:v2:replicas", "ghost")


async def test_random_losses_and_replays_leave_the_sums_right(setting: Setting) -> None:
    """Answers are lost, and batches come again later, some long after others have been applied."""
    rng = Random(5)
    sequence, pending, spent = [0] * 3, [dict[str, float]() for _ in range(3)], [0.0] * 3
    old: list[tuple[int, dict[str, object]]] = []
    for _ in range(150):
        number = rng.randrange(3)
        if not pending[number]:
            sequence[number] += 1
            amount = rng.randrange(1, 100) / 4
            pending[number] = {"team": amount}
            spent[number] += amount
        batch: dict[str, object] = {
            "sequence": sequence[number],
            "spent": pending[number],
            "uses": {"a": Use(number + 1)},
        }
        arrives, answered = rng.random() < 0.8, rng.random() < 0.7
        if arrives:
            seen = await setting.trade(number, **batch)
            old.append((number, batch))
            if answered:
                assert seen.acknowledged == sequence[number]
                pending[number] = {}
        if old and rng.random() < 0.4:
            late, again = rng.choice(old)
            await setting.trade(late, **again)
    for number in range(3):
        await setting.trade(number, sequence=sequence[number], spent=pending[number], uses={"a": Use(number + 1)})
    newcomer = await setting.media[0].trade(Batch("new", 0, 1))
    assert newcomer.spent == {"team": pytest.approx(sum(spent))}
    assert newcomer.uses == {"a": Use(6)}
