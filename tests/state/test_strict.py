from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path

import fakeredis
import pytest

from router.core.limits import Meter, Reservation, Spent
from router.core.part import Part
from router.core.redis_address import parse_redis_url
from router.core.types import Estimate, Limits, LimitSubject, Strict, Usage
from router.state.books import Booked, Books, Entry, Exact, Refusal
from router.state.exchange import MediumError
from router.state.redis.client import connect
from router.state.redis.exact import RedisExact
from router.state.strict import StrictLimits
from tests.core.making import FakeClock, group, tier
from tests.state.redis_servers import RedisServer, free_port, redis_cluster, redis_server
from tests.state.replicas import LedgerMedium, Replica, gone, trade_all
from tests.state.slow_way import slow_way
from tests.state.waiting import until

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
    strict = StrictLimits(exact, lambda: False, time.monotonic)
    async with telling(strict):
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


@pytest.mark.parametrize("limits", [OPEN, CLOSED])
async def test_a_redis_that_hangs_costs_twenty_milliseconds_and_the_configured_side(
    server: RedisServer, limits: Limits
) -> None:
    with server.admin() as admin:
        admin.flushall()
    address = parse_redis_url(server.url)
    exact = RedisExact(lambda: connect(address), "router")
    strict = StrictLimits(exact, lambda: False, time.monotonic)
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


async def test_while_nobody_can_be_heard_nobody_is_asked() -> None:
    class Unasked:
        async def take(self, *_: object) -> Refusal:
            raise AssertionError

        async def correct(self, *_: object) -> None: ...
        async def close(self) -> None: ...

        async def book(self, *_: object) -> Booked:
            raise AssertionError

    strict = StrictLimits(Unasked(), lambda: True, time.monotonic)
    assert await strict.take("a", OPEN, reservation()) is None
    assert await strict.take("a", CLOSED, reservation()) == Refusal(None, 1.0)


@pytest.mark.parametrize("form", ["redis", "redis+cluster"])
async def test_a_redis_that_is_not_there_is_told_in_one_way(form: str) -> None:
    """The library's errors of a cluster are a family of their own."""
    address = parse_redis_url(f"{form}://127.0.0.1:{free_port()}")
    exact = RedisExact(lambda: connect(address), "router")
    for asking in (exact.take("a", OPEN, 1), exact.book("a", 0, 1, 1, "one"), exact.correct("a", Booked(1), 0, 1)):
        with pytest.raises(MediumError) as raised:
            await asking
        assert raised.value.reason in ("unreachable", "failing_over")
    await exact.close()


class Late:
    """A counter whose answers come when they are told to."""

    def __init__(self) -> None:
        self.answers: list[asyncio.Future[Booked | Refusal]] = []
        self.told: list[tuple[object, ...]] = []
        self.trouble: Exception | None = None

    async def take(self, subject: str, limits: Limits, tokens: int) -> Booked | Refusal:
        answer: asyncio.Future[Booked | Refusal] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        return await answer

    async def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.told.append(("correct", booked.second, requests, tokens))

    async def book(self, subject: str, age: int, requests: int, tokens: int, name: str) -> Booked:
        if self.trouble is not None:
            raise self.trouble
        self.told.append(("book", age, requests, tokens))
        return Booked(1000 - age)

    async def close(self) -> None: ...


class Shared:
    """A meter that `live` replicas share, which have used `theirs` requests and no tokens."""

    def __init__(self, live: int, theirs: int = 0) -> None:
        self.clock = FakeClock()
        self.part = Part(live, alone=False)
        self.meter = Meter(self.part)
        self.meter.cover(OPEN)
        self.part.traded(self.meter, self.clock.now, live, theirs, 0, 0)

    def reserve(self) -> Reservation:
        return self.meter.reserve(self.clock.now, 1)


class RealClock(FakeClock):
    def __call__(self) -> float:
        self.now = time.monotonic()
        return self.now


@asynccontextmanager
async def telling(books: StrictLimits | Books) -> AsyncIterator[None]:
    task = asyncio.ensure_future(books.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def take_late(strict: StrictLimits, shared: Shared, limits: Limits = OPEN) -> tuple[Reservation, Refusal | None]:
    held = shared.reserve()
    refusal = await strict.take("a", limits, held)
    if refusal is not None:
        held.settle(Spent.NOTHING, None)
    return held, refusal


@pytest.mark.parametrize(("live", "theirs", "admitted"), [(1, 0, 10), (2, 0, 2), (2, 6, 1), (2, 9, 0), (4, 10, 0)])
async def test_late_answers_let_through_no_more_than_the_replicas_part_of_what_was_left(
    live: int, theirs: int, admitted: int
) -> None:
    late, shared = Late(), Shared(live, theirs)
    strict = StrictLimits(late, lambda: False, shared.clock)
    taken = [(await take_late(strict, shared))[1] for _ in range(12)]
    assert taken.count(None) == admitted
    assert {each.short for each in taken if each is not None} <= {"rpm"}
    assert strict.outcomes == {
        "admitted": 0, "refused": 0, "open": admitted, "refused_late": 12 - admitted, "closed": 0,
    }  # fmt: skip


async def test_once_the_counter_has_said_that_it_is_full_late_answers_let_nobody_through() -> None:
    late, shared = Late(), Shared(1)
    strict = StrictLimits(late, lambda: False, shared.clock)
    assert (await take_late(strict, shared))[1] is None
    late.answers[0].set_result(Refusal("rpm", 30.0))
    await asyncio.sleep(0)
    assert (await take_late(strict, shared))[1] == Refusal("rpm", 30.0)
    shared.clock.advance(30.0)
    assert (await take_late(strict, shared))[1] is None


async def test_a_late_booking_of_who_was_let_through_stands_and_is_corrected() -> None:
    late, shared = Late(), Shared(1)
    strict = StrictLimits(late, lambda: False, shared.clock)
    async with telling(strict):
        before, _ = await take_late(strict, shared)
        before.settle(Spent.ESTIMATE, Usage(3, 4))  # it is over before the answer comes
        after, _ = await take_late(strict, shared)
        for answer in late.answers:
            answer.set_result(Booked(7))
        await until(lambda: len(late.told) == 1)
        after.settle(Spent.ESTIMATE, Usage(1, 1))
        await until(lambda: len(late.told) == 2)
        assert late.told == [("correct", 7, 0, 6), ("correct", 7, 0, 1)]


@pytest.mark.parametrize("limits", [OPEN, CLOSED])
async def test_a_late_booking_of_who_was_refused_is_given_back(limits: Limits) -> None:
    late, shared = Late(), Shared(1, 10)
    strict = StrictLimits(late, lambda: False, shared.clock)
    async with telling(strict):
        assert (await take_late(strict, shared, limits))[1] is not None
        late.answers[0].set_result(Booked(7))
        await until(lambda: bool(late.told))
        assert late.told == [("correct", 7, -1, -1)]


async def test_a_late_booking_of_who_has_gone_away_is_given_back() -> None:
    late, shared = Late(), Shared(1)
    strict = StrictLimits(late, lambda: False, shared.clock)
    async with telling(strict):
        asking = asyncio.ensure_future(strict.take("a", OPEN, shared.reserve()))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        late.answers[0].set_result(Booked(7))
        await until(lambda: bool(late.told))
        assert late.told == [("correct", 7, -1, -1)]


async def test_who_was_let_through_unbooked_is_booked_once_the_counter_can_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("router.state.books.AGAIN", 0.001)
    late, shared = Late(), Shared(1)
    gone = True
    strict = StrictLimits(late, lambda: gone, shared.clock)
    late.trouble = MediumError("unreachable")
    async with telling(strict):
        for _ in range(2):
            held, refusal = await take_late(strict, shared)
            assert refusal is None
        await until(lambda: bool(strict.failures))  # it may have arrived: from now on it is told as it is
        shared.clock.advance(58.5)
        await take_late(strict, shared)
        shared.clock.advance(1.0)
        held.settle(Spent.ESTIMATE, Usage(5, 5))
        late.trouble = None
        await until(lambda: len(late.told) == 3)
        assert [each for each in late.told if each[0] == "book"] == [("book", 59, 2, 2), ("book", 1, 1, 1)]
        assert [each for each in late.told if each[0] == "correct"] == [("correct", 1000 - 59, 0, 9)]


async def test_whatever_the_counter_raises_neither_a_request_nor_the_bookkeeping_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("router.state.books.AGAIN", 0.001)
    late, shared = Late(), Shared(1)
    strict = StrictLimits(late, lambda: False, shared.clock)
    late.trouble = LookupError("nobody has thought of it")
    async with telling(strict):
        booked, asked = (asyncio.ensure_future(take_late(strict, shared)) for _ in range(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        late.answers[0].set_result(Booked(7))
        late.answers[1].set_exception(late.trouble)
        held, refusal = await booked
        assert (refusal, (await asked)[1]) == (None, None)
        held.settle(Spent.ESTIMATE, Usage(1, 1))
        await until(lambda: strict.failures.get("error", 0) > 1)
        late.trouble = None
        await until(lambda: ("book", 0, 1, 1) in late.told)
        held, _ = await take_late(strict, shared)
        late.answers[2].set_result(Booked(8))
        held.settle(Spent.ESTIMATE, Usage(1, 1))
        await until(lambda: ("correct", 8, 0, 1) in late.told)


class Losing:
    """A counter that does what it is told, and whose answers to the first bookings are lost."""

    def __init__(self, exact: Exact, lost: int) -> None:
        self.take, self.correct, self.close = exact.take, exact.correct, exact.close
        self.lost = lost
        self.answered = False
        self._exact = exact

    async def book(self, subject: str, age: int, requests: int, tokens: int, name: str) -> Booked:
        booked = await self._exact.book(subject, age, requests, tokens, name)
        if self.lost:
            self.lost -= 1
            raise MediumError("timeout")
        self.answered = True
        return booked


async def test_what_was_booked_without_an_answer_is_not_booked_again(
    exact: RedisExact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.state.books.AGAIN", 0.001)
    losing, shared = Losing(exact, 2), Shared(1)
    strict = StrictLimits(losing, lambda: True, shared.clock)
    async with telling(strict):
        for _ in range(3):
            assert (await take_late(strict, shared))[1] is None
        await until(lambda: losing.answered)
        answers = [await exact.take("a", OPEN, 1) for _ in range(10)]
        assert sum(isinstance(each, Booked) for each in answers) == 10 - 3


async def test_corrections_of_one_second_are_told_together() -> None:
    late = Late()
    books = Books(late, FakeClock())
    for _ in range(1000):
        books.correct("a", Booked(7), 0, -3)
        books.correct("a", Booked(8), -1, -1)
        books.correct("b", Booked(7), 0, 2)
    async with telling(books):
        await until(lambda: len(late.told) == 3)
    assert late.told == [("correct", 7, 0, -3000), ("correct", 8, -1000, -1000), ("correct", 7, 0, 2000)]


async def test_of_more_corrections_than_can_be_told_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.state.books.CORRECTIONS_KEPT", 3)
    late = Late()
    books = Books(late, FakeClock())
    for second in range(9):
        books.correct("a", Booked(second), 0, 1)
    async with telling(books):
        await until(lambda: len(late.told) == 3)
    assert late.told == [("correct", second, 0, 1) for second in (6, 7, 8)]


async def test_what_sums_to_nothing_is_not_told() -> None:
    late, clock = Late(), FakeClock()
    books = Books(late, clock)
    unsent = Entry(books, "a", 5, clock.now)
    unsent(-1, -5)
    books.book(unsent)
    books.book(Entry(books, "b", 1, clock.now))
    for second, tokens in ((7, 3), (7, -3), (8, 2)):
        books.correct("a", Booked(second), 0, tokens)
    async with telling(books):
        await until(lambda: len(late.told) >= 2)
    assert sorted(late.told) == [("book", 0, 1, 1), ("correct", 8, 0, 2)]


async def test_what_could_not_be_told_for_a_minute_gives_way_to_what_came_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("router.state.books.AGAIN", 0.001)
    late, clock = Late(), FakeClock()
    books = Books(late, clock)
    late.trouble = MediumError("unreachable")
    async with telling(books):
        books.book(Entry(books, "a", 5, clock.now))
        await until(lambda: books.failures.get("unreachable", 0) > 1)
        clock.advance(60.0)
        books.book(Entry(books, "a", 1, clock.now))
        late.trouble = None
        await until(lambda: bool(late.told))
    assert late.told == [("book", 0, 1, 1)]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [(MediumError("loading"), "loading"), (TimeoutError(), "timeout"), (LookupError("nobody thought of it"), "error")],
)
async def test_what_the_counter_could_not_be_told_counts_by_reason_beside_the_trades_that_failed(
    trouble: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.state.books.AGAIN", 60.0)
    late, shared = Late(), Shared(1)
    medium = LedgerMedium(shared.clock)
    replica = Replica("r0", shared.clock, medium, group(tier("a")))
    strict = replica.store.strict = StrictLimits(late, lambda: bool(late.answers), shared.clock)
    late.trouble = trouble
    async with telling(strict):
        corrected, _ = await take_late(strict, shared)
        late.answers[0].set_result(Booked(7))
        corrected.settle(Spent.ESTIMATE, Usage(1, 1))
        await until(lambda: strict.failures == {reason: 1})
        assert (await take_late(strict, shared))[1] is None
        await until(lambda: strict.failures == {reason: 2})
    medium.trouble = gone
    assert not await replica.trade()
    assert replica.sharing.failures == {"refused": 1, reason: 2}


async def time_to_book(count: int) -> float:
    """Seconds of processor time to tell of so many."""
    late, clock = Late(), FakeClock()
    books = Books(late, clock)
    for number in range(count):
        books.book(Entry(books, f"key:{number}", 1, clock.now))
    began = time.process_time()
    async with telling(books):
        await until(lambda: len(late.told) == count)
        return time.process_time() - began


async def test_what_is_to_be_booked_takes_time_in_proportion() -> None:
    few, many = [min([await time_to_book(count) for _ in range(3)]) for count in (2000, 8000)]
    assert many < 8 * few, "twice of what is proportional; half of what grows with the square"


@pytest.mark.parametrize("kind", [redis_server, redis_cluster])
async def test_a_correction_whose_answer_is_late_is_not_repeated_by_the_library(
    kind: Callable[[Path], AbstractContextManager[RedisServer]], tmp_path: Path
) -> None:
    with kind(tmp_path) as server:
        address = parse_redis_url(server.url)
        exact = RedisExact(lambda: connect(address, 10.0, 0.3), "router")
        booked = await exact.take("a", OPEN, 1)
        assert isinstance(booked, Booked)
        await exact.correct("a", booked, 0, 1)  # so that the server knows the script
        server.hang()
        asyncio.get_running_loop().call_later(0.45, server.wake)
        with pytest.raises(MediumError):
            await exact.correct("a", booked, 0, 5)
        server.wake()
        with server.admin() as admin:
            assert admin.hget("{router}:v2:strict:a", f"t{booked.second}") == b"7"
        await exact.close()


@pytest.mark.parametrize("way", ["correct", "book"])
async def test_the_bookkeeping_ends_when_it_is_told_to_even_if_the_counter_loses_that(way: str) -> None:
    entered = asyncio.Event()

    class Lossy(Late):
        async def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None:
            await self._lose()

        async def book(self, subject: str, age: int, requests: int, tokens: int, name: str) -> Booked:
            await self._lose()
            return Booked(7)

        async def _lose(self) -> None:
            entered.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60.0)

    books = Books(Lossy(), FakeClock())
    running = asyncio.ensure_future(books.run())
    if way == "correct":
        books.correct("a", Booked(7), 0, 1)
    else:
        books.book(Entry(books, "a", 1, FakeClock().now))
    await entered.wait()
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=10.0)
    assert done


async def test_what_was_let_through_a_minute_ago_is_not_booked_any_more() -> None:
    late, shared = Late(), Shared(1)
    strict = StrictLimits(late, lambda: True, shared.clock)
    await take_late(strict, shared)
    shared.clock.advance(60.0)
    await take_late(strict, shared)
    async with telling(strict):
        await until(lambda: bool(late.told))
    assert late.told == [("book", 0, 1, 1)]


@pytest.mark.parametrize("wavering", [False, True])
async def test_a_slow_redis_lets_no_more_through_than_the_limit(server: RedisServer, wavering: bool) -> None:
    """Two replicas, of whose answers a third come in time, or none, and which are asked for far more than the limit."""
    limits = Limits(rpm=60, strict=Strict(rpm=True))
    key = LimitSubject("key:team", limits)
    with server.admin() as admin:
        admin.flushall()
    clock = RealClock()
    medium = LedgerMedium(clock)
    async with slow_way(server.port) as way:
        address = parse_redis_url(f"redis://127.0.0.1:{way.port}")
        replicas = [Replica(f"r{place}", clock, medium, group(tier("a"))) for place in range(2)]
        for replica in replicas:
            exact = RedisExact(lambda: connect(address), "router")
            replica.store.strict = StrictLimits(exact, lambda: False, clock)
        await trade_all(replicas, 2)
        admitted = 0

        async def ask(replica: Replica) -> None:
            nonlocal admitted
            held = replica.store.admit(key, Estimate(1, 0)).reservation
            if held is None:
                return
            assert replica.store.strict is not None
            if await replica.store.strict.take(key.name, limits, held) is None:
                admitted += 1
            else:
                held.settle(Spent.NOTHING, None)

        running = [asyncio.ensure_future(each.store.strict.run()) for each in replicas if each.store.strict is not None]
        asking: list[asyncio.Task[None]] = []
        for turn in range(150):
            way.delay = 0.0 if wavering and turn % 3 == 0 else 0.06
            asking += [asyncio.ensure_future(ask(each)) for each in replicas for _ in range(2)]
            if turn % 10 == 0:
                await trade_all(replicas)
            await asyncio.sleep(0.01)
        await asyncio.gather(*asking)
        late = sum(each.store.strict.outcomes["open"] for each in replicas if each.store.strict is not None)
        for task in running:
            task.cancel()
        await asyncio.wait(running)
    assert late > 0, "or nothing has been shown"
    assert 30 <= admitted <= 60
