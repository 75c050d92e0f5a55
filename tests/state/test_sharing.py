from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest

from router.core.breaker import BreakerState
from router.core.errors import FailureKind
from router.core.events import SharingLost, SharingRestored
from router.core.retry import Health
from router.core.types import Budget, Limits, LimitSubject, Usage
from router.state.base import SUCCESS, Outcome, Served
from router.state.exchange import LEASE, Batch, Cooldown, MediumError, Picture
from tests.core.making import START, FakeClock, group, tier
from tests.state.replicas import LedgerMedium, Replica, gone, trade_all

CONNECT = Outcome(Health.CONNECTION_FAILURE, FailureKind.CONNECT)
LIMITED = Outcome(Health.COOL_KEY, FailureKind.RATE_LIMITED, 20.0)
NOT_FOUND = Outcome(Health.COOL_DEPLOYMENT_LONG, FailureKind.NOT_FOUND)


class Fleet:
    """Replicas of one configuration around one medium."""

    def __init__(self, count: int, *names: str) -> None:
        self.clock = FakeClock()
        self.medium = LedgerMedium(self.clock)
        self._group = group(tier(*(names or ("a", "b", "c"))))
        self.replicas = [self.start(f"r{number}") for number in range(count)]

    def start(self, name: str) -> Replica:
        return Replica(name, self.clock, self.medium, self._group)

    async def trade(self, times: int = 2) -> None:
        await trade_all(self.replicas, times)

    def states(self, name: str) -> list[BreakerState]:
        return [each.load(name).breaker.state(self.clock.now) for each in self.replicas]


# In flight.


async def test_each_replica_sees_what_the_others_have_under_way() -> None:
    fleet = Fleet(3)
    leases = [fleet.replicas[0].lease("a"), fleet.replicas[0].lease("a"), fleet.replicas[1].lease("b")]
    await fleet.trade()
    seen = [[each.load(name).siblings for name in "abc"] for each in fleet.replicas]
    assert seen == [[0, 1, 0], [2, 0, 0], [2, 1, 0]]
    for lease in leases:
        fleet.replicas[1 if lease is leases[2] else 0].store.settle(lease, SUCCESS)
    await fleet.trade()
    assert [each.load(name).siblings for each in fleet.replicas for name in "abc"] == [0] * 9


async def test_a_dead_replicas_requests_are_gone_with_its_lease() -> None:
    fleet = Fleet(2)
    for _ in range(200):
        fleet.replicas[0].lease("a")
    await fleet.trade()
    fleet.clock.advance(LEASE - 0.1)
    await fleet.replicas[1].trade()
    assert fleet.replicas[1].load("a").siblings == 200
    fleet.clock.advance(0.1)
    await fleet.replicas[1].trade()
    assert fleet.replicas[1].load("a").siblings == 0


async def test_who_leaves_is_gone_at_once() -> None:
    fleet = Fleet(2)
    fleet.replicas[0].lease("a")
    await fleet.trade()
    await fleet.medium.leave("r0")
    await fleet.replicas[1].trade()
    assert fleet.replicas[1].load("a").siblings == 0


# Live replicas.


async def test_live_is_the_largest_count_of_the_last_minute() -> None:
    fleet = Fleet(4)
    await fleet.trade()
    survivor = fleet.replicas[0]
    for _ in range(590):
        fleet.clock.advance(0.1)
        await survivor.trade()
    assert survivor.sharing.live == 4
    for _ in range(50):  # the minute, and the lease
        fleet.clock.advance(0.1)
        await survivor.trade()
    assert survivor.sharing.live == 1


async def test_live_stays_while_nobody_can_be_asked() -> None:
    fleet = Fleet(4)
    await fleet.trade()
    fleet.medium.trouble = gone
    for _ in range(100):
        fleet.clock.advance(10.0)
        assert not await fleet.replicas[0].trade()
    assert fleet.replicas[0].sharing.live == 4


# Limits.

KEY = LimitSubject("key:team", Limits(rpm=100))


async def test_replicas_share_a_keys_limit() -> None:
    fleet = Fleet(4)
    await fleet.trade()
    admitted = 0
    for _ in range(100):
        for replica in fleet.replicas:
            admitted += sum(replica.admit(KEY) for _ in range(3))
            await replica.trade()
        fleet.clock.advance(0.01)
    assert 100 <= admitted <= 104
    assert not any(replica.admit(KEY) for replica in fleet.replicas)


async def test_between_two_trades_a_replica_takes_its_part_of_what_is_free() -> None:
    fleet = Fleet(4)
    await fleet.trade()
    assert [sum(each.admit(KEY) for _ in range(100)) for each in fleet.replicas] == [25] * 4


async def test_who_was_alone_claims_nothing_of_what_it_took_to_be_its_own() -> None:
    fleet = Fleet(2)
    await fleet.replicas[0].trade()
    newcomer = fleet.start("late")
    assert newcomer.admit(KEY)
    await newcomer.trade()
    await fleet.replicas[0].trade()
    assert fleet.replicas[0].store.left(KEY).requests.remaining == 99  # type: ignore[union-attr]


async def test_what_a_replica_may_yet_take_is_used_to_the_others_while_it_takes_any() -> None:
    fleet = Fleet(2)
    await fleet.trade()
    one, other = fleet.replicas
    assert one.admit(KEY)
    for remaining in (50, 99):
        await fleet.trade(1)
        assert other.store.left(KEY).requests.remaining == remaining  # type: ignore[union-attr]


async def test_what_a_dead_replica_might_yet_have_taken_is_free_again_with_its_lease() -> None:
    fleet = Fleet(2)
    await fleet.trade()
    dead, other = fleet.replicas
    assert dead.admit(KEY)
    await dead.trade()
    fleet.clock.advance(LEASE + 0.1)
    await other.trade()
    assert other.store.left(KEY).requests.remaining == 99  # type: ignore[union-attr]


async def test_one_replica_with_all_the_load_gets_nearly_all_of_the_limit() -> None:
    fleet = Fleet(4)
    await fleet.trade()
    admitted = 0
    for _ in range(200):
        admitted += sum(fleet.replicas[0].admit(KEY) for _ in range(5))
        await fleet.trade(1)
    assert admitted == 100


async def test_with_the_medium_gone_each_keeps_to_its_part_of_the_limit() -> None:
    fleet = Fleet(4)
    await fleet.trade()
    fleet.medium.trouble = gone
    for each in fleet.replicas:
        assert not await each.trade()
    assert [sum(each.admit(KEY) for _ in range(100)) for each in fleet.replicas] == [25] * 4


async def test_a_dead_replicas_requests_count_for_the_rest_of_their_minute() -> None:
    fleet = Fleet(2)
    await fleet.trade()
    dead, heir = fleet.replicas
    assert sum(dead.admit(KEY) for _ in range(100)) == 50
    fleet.clock.advance(1.0)
    await fleet.trade()
    for _ in range(58):
        fleet.clock.advance(1.0)
        await heir.trade()
        assert heir.store.left(KEY).requests.remaining == 50  # type: ignore[union-attr]
    fleet.clock.advance(12.0)
    await heir.trade()
    assert heir.store.left(KEY).requests.remaining == 100  # type: ignore[union-attr]


# Health.


async def test_what_one_replica_alone_can_not_reach_stays_with_the_others() -> None:
    fleet = Fleet(3)
    fleet.replicas[0].serve("a", CONNECT, 3)
    await fleet.trade()
    assert fleet.states("a") == [BreakerState.OPEN, BreakerState.CLOSED, BreakerState.CLOSED]


async def test_once_two_have_seen_failures_an_opening_is_everybodys() -> None:
    fleet = Fleet(3)
    fleet.replicas[0].serve("a", CONNECT, 3)
    fleet.replicas[1].serve("a", CONNECT, 1)
    await fleet.trade()
    assert fleet.states("a") == [BreakerState.OPEN] * 3


async def test_a_slow_way_to_the_medium_does_not_keep_a_breaker_open() -> None:
    """Each hears of the other's deadline late; told on as one's own, it would come back later still, and so on."""
    fleet = Fleet(2)
    for replica in fleet.replicas:
        replica.serve("a", CONNECT, 3)
    fleet.medium.late = 0.2
    while fleet.clock.now < START + 7.0:
        await fleet.trade(1)
    assert fleet.states("a") == [BreakerState.HALF_OPEN] * 2


async def test_siblings_never_take_the_last_closed_backend_of_a_group() -> None:
    fleet = Fleet(3, "a")
    fleet.replicas[0].serve("a", CONNECT, 3)
    fleet.replicas[1].serve("a", CONNECT, 1)
    await fleet.trade()
    assert fleet.states("a")[2] is BreakerState.CLOSED


async def test_a_recovery_is_everybodys() -> None:
    fleet = Fleet(3)
    for replica in fleet.replicas[:2]:
        replica.serve("a", CONNECT, 3)
    await fleet.trade()
    fleet.clock.advance(20.0)
    await fleet.trade(1)
    fleet.replicas[2].serve("a", SUCCESS)
    await fleet.trade()
    assert fleet.states("a") == [BreakerState.CLOSED] * 3
    await fleet.trade(3)
    assert fleet.states("a") == [BreakerState.CLOSED] * 3, "and nobody's old news open it again"


async def test_a_half_open_backend_is_tried_by_one_replica() -> None:
    fleet = Fleet(4)
    for replica in fleet.replicas[:2]:
        replica.serve("a", CONNECT, 3)
    await fleet.trade()
    fleet.clock.advance(4.9)
    for replica in fleet.replicas:
        replica.want("gpt")
    await fleet.trade()
    fleet.clock.advance(0.2)
    may = [each.load("a").breaker.admits(fleet.clock.now) for each in fleet.replicas]
    assert may.count(True) == 1
    holder = fleet.replicas[may.index(True)]
    lease = holder.lease("a")
    assert lease.trial
    for _ in range(100):
        fleet.clock.advance(0.1)
        for replica in fleet.replicas:
            replica.want("gpt")
        await fleet.trade(1)
        assert not any(each.load("a").breaker.admits(fleet.clock.now) for each in fleet.replicas)
    holder.store.settle(lease, CONNECT)
    await fleet.trade()
    assert fleet.states("a") == [BreakerState.OPEN] * 4


async def test_a_cooldown_reaches_everybody_and_a_later_end_wins() -> None:
    fleet = Fleet(2)
    fleet.replicas[0].serve("a", LIMITED)
    await fleet.trade()
    for replica in fleet.replicas:
        assert replica.load("a").usable_key(fleet.clock.now + 19.0) is None
        assert replica.load("a").usable_key(fleet.clock.now + 20.1) == 0
    fleet.replicas[1].serve("a", LIMITED._replace(retry_after=5.0))
    await fleet.trade()
    assert fleet.replicas[0].load("a").usable_key(fleet.clock.now + 19.0) is None


async def test_each_replica_tries_what_comes_back_by_one_request() -> None:
    fleet = Fleet(2)
    fleet.replicas[0].serve("a", LIMITED)
    await fleet.trade()
    fleet.clock.advance(20.1)
    trials = [replica.lease("a").key_trial for replica in fleet.replicas for _ in range(2)]
    assert [bool(trial) for trial in trials] == [True, False, True, False]


async def test_a_cooldown_is_heard_at_once() -> None:
    fleet = Fleet(2)
    run = [asyncio.ensure_future(each.sharing.run()) for each in fleet.replicas]
    await asyncio.sleep(0.05)
    fleet.replicas[0].serve("a", LIMITED)
    for _ in range(5):
        await asyncio.sleep(0)
    assert fleet.replicas[1].load("a").usable_key(fleet.clock.now) is None
    for task in run:
        task.cancel()
    await asyncio.gather(*run, return_exceptions=True)


async def test_a_cooldown_that_could_not_be_published_comes_with_the_next_batch_that_arrives() -> None:
    fleet = Fleet(2)
    await fleet.trade()
    fleet.medium.trouble = gone
    fleet.replicas[0].serve("a", NOT_FOUND)
    assert not await fleet.replicas[0].trade()
    fleet.medium.trouble = lambda: None
    await fleet.trade()
    assert fleet.states("a") == [BreakerState.OPEN] * 2


async def test_a_cooldown_that_grows_is_published_once_for_all_and_forgotten_with_its_end() -> None:
    fleet = Fleet(2)
    fleet.medium.trouble = gone
    outbox = fleet.replicas[0].sharing.outbox
    for _ in range(100):
        fleet.clock.advance(1.0)
        fleet.replicas[0].serve("a", LIMITED)
    assert (await outbox.urgent()).seconds == pytest.approx(20.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await outbox.urgent()
    fleet.clock.advance(20.0)
    assert not await fleet.replicas[0].trade()
    assert not outbox._told


async def test_a_flushed_medium_is_told_the_cooldowns_anew() -> None:
    fleet = Fleet(2)
    await fleet.trade()
    fleet.replicas[0].serve("a", LIMITED)
    await fleet.replicas[0].trade()
    fleet.medium.ledger.__init__()  # type: ignore[misc]
    await fleet.trade()
    newcomer = fleet.start("new")
    await newcomer.trade()
    assert newcomer.load("a").usable_key(fleet.clock.now + 19.0) is None


async def test_what_was_measured_is_everybodys() -> None:
    fleet = Fleet(2)
    await fleet.trade()
    fleet.replicas[0].serve("a", Outcome(served=Served(2.0, None, Usage(10, 100))))
    fleet.clock.advance(0.5)
    await fleet.trade()
    expected = [each.load("a").latency.expected(fleet.clock.now, False, 0, 100.0) for each in fleet.replicas]
    assert expected == [pytest.approx(2.0)] * 2


# Budgets.

PAYER = LimitSubject("key:payer", Limits(), Budget(10.0, 3600.0))


async def test_replicas_share_a_budget() -> None:
    fleet = Fleet(2)
    await fleet.trade()
    for replica in fleet.replicas:
        replica.store.pay(PAYER, 0.0, 4.0)
        assert replica.store.broke(PAYER, begun=False) is None
    await fleet.trade()
    assert all(each.store.broke(PAYER, begun=False) is None for each in fleet.replicas)
    fleet.replicas[0].store.pay(PAYER, 0.0, 3.0)
    await fleet.trade()
    assert all(each.store.broke(PAYER, begun=False) is not None for each in fleet.replicas)


async def test_a_new_period_begins_for_everybody() -> None:
    fleet = Fleet(2)
    fleet.replicas[0].store.pay(PAYER, 0.0, 12.0)
    fleet.replicas[1].store.broke(PAYER, begun=False)
    await fleet.trade()
    assert fleet.replicas[1].store.broke(PAYER, begun=False) is not None
    fleet.clock.advance(3600.0)
    await fleet.trade()
    assert all(each.store.broke(PAYER, begun=False) is None for each in fleet.replicas)
    await fleet.trade()
    assert all(each.store.broke(PAYER, begun=False) is None for each in fleet.replicas)


async def test_a_newcomer_hears_what_was_spent_and_a_flushed_medium_is_told() -> None:
    fleet = Fleet(2)
    fleet.replicas[0].store.pay(PAYER, 0.0, 12.0)
    await fleet.trade()
    fleet.medium.ledger.__init__()  # type: ignore[misc]
    await fleet.trade()
    newcomer = fleet.start("new")
    newcomer.store.broke(PAYER, begun=False)
    await newcomer.trade()
    assert newcomer.store.broke(PAYER, begun=False) is not None


async def test_what_was_spent_while_nobody_could_be_told_is_told_once() -> None:
    fleet = Fleet(2)
    await fleet.trade()
    fleet.medium.trouble = gone
    for _ in range(3):
        fleet.replicas[0].store.pay(PAYER, 0.0, 1.0)
        await fleet.replicas[0].trade()
    fleet.medium.trouble = lambda: None
    fleet.replicas[1].store.broke(PAYER, begun=False)
    await fleet.trade(3)
    assert [each.store.spending[PAYER.name].spent for each in fleet.replicas] == [3.0, 3.0]


# Degrading.


async def test_it_is_told_once_that_nobody_can_be_heard_and_once_that_they_can() -> None:
    fleet = Fleet(1)
    replica = fleet.replicas[0]
    assert replica.sharing.degraded, "until the first trade"
    for trouble in (gone, gone, lambda: None, lambda: None, gone):
        fleet.medium.trouble = trouble
        await replica.trade()
    assert [type(each) for each in replica.heard] == [SharingLost, SharingRestored, SharingLost]
    assert replica.sharing.failures == {"refused": 3}


async def test_the_last_picture_serves_on_and_in_flight_fades_with_the_lease() -> None:
    fleet = Fleet(2)
    fleet.replicas[0].lease("a")
    fleet.replicas[0].serve("b", LIMITED)
    await fleet.trade()
    fleet.medium.trouble = gone
    other = fleet.replicas[1]
    await other.trade()
    assert other.load("a").siblings == 1
    fleet.clock.advance(LEASE + 0.1)
    await other.trade()
    assert other.load("a").siblings == 0
    assert other.load("b").usable_key(fleet.clock.now) is None


async def test_an_answer_that_makes_no_sense_is_a_failure_like_any_other() -> None:
    fleet = Fleet(1)

    async def nonsense(batch: Batch) -> Picture:
        return Picture(0, False, 1, cooldowns=[None])  # type: ignore[list-item]

    fleet.medium.trade = nonsense  # type: ignore[method-assign]
    assert not await fleet.replicas[0].trade()
    assert fleet.replicas[0].sharing.failures == {"error": 1}
    fleet.medium.trade = LedgerMedium.trade.__get__(fleet.medium)  # type: ignore[method-assign]
    assert await fleet.replicas[0].trade()


class Losing(LedgerMedium):
    """Loses that whoever is in its `lossy` way is cancelled, once, as the Redis library does before Python 3.12."""

    def __init__(self, clock: FakeClock, lossy: str) -> None:
        super().__init__(clock)
        self._lossy = lossy
        self.entered = asyncio.Event()

    async def trade(self, batch: Batch) -> Picture:
        await self._pass("trade")
        return await super().trade(batch)

    async def publish(self, replica: str, cooldown: Cooldown) -> None:
        await self._pass("publish")
        await super().publish(replica, cooldown)

    async def listen(self, replica: str) -> AsyncGenerator[Cooldown, None]:
        await self._pass("listen")
        raise MediumError("timeout")
        yield

    async def _pass(self, way: str) -> None:
        if way == self._lossy and not self.entered.is_set():
            self.entered.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60.0)


async def test_the_medium_is_closed_whatever_comes_of_the_farewell() -> None:
    class Rude(LedgerMedium):
        closed = False

        async def leave(self, replica: str) -> None:
            raise LookupError("nobody has thought of it")

        async def close(self) -> None:
            self.closed = True

    clock = FakeClock()
    medium = Rude(clock)
    running = asyncio.ensure_future(Replica("r0", clock, medium, group(tier("a"))).sharing.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running], timeout=10.0)
    assert running.cancelled()
    assert medium.closed


@pytest.mark.parametrize("way", ["trade", "publish", "listen"])
async def test_the_exchange_ends_when_it_is_told_to_whatever_loses_that_on_its_way(way: str) -> None:
    clock = FakeClock()
    medium = Losing(clock, way)
    replica = Replica("r0", clock, medium, group(tier("a")))
    running = asyncio.ensure_future(replica.sharing.run())
    replica.serve("a", LIMITED)
    await asyncio.wait_for(medium.entered.wait(), 10.0)
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=10.0)
    assert done
