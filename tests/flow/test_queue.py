"""Who waits in place of a 429, for how long, and who goes first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.events import Rejected
from router.core.filters import Reason
from router.core.types import Deployment, QueuePolicy
from tests.flow.queueing import QUEUE, Router, deployment, group, reply, settled, turns_until
from tests.virtual_time import virtual_time

LIMITED = UpstreamFailure(FailureKind.RATE_LIMITED, "429", status=429, retry_after=3.0)


def one(**fields: Any) -> Deployment:
    return deployment("a", **fields)


@virtual_time
async def test_without_a_queue_a_full_model_is_a_429_at_once() -> None:
    router = Router(group(one(max_parallel_requests=1), queue=None))
    _, second = await router.ask_all("1", "2")
    assert second.state == "429 rate_limit_exceeded"
    assert second.error is not None
    assert second.error.retry_after == 1.0
    assert router.left() == []


@virtual_time
async def test_a_settled_lease_lets_the_next_one_go_at_once() -> None:
    router = Router(group(one(max_parallel_requests=1)))
    first, second = await router.ask_all("1", "2")
    assert (router.running(), router.waiting()) == (["1"], ["2"])
    await asyncio.sleep(0.5)
    first.answered()
    await settled()
    assert (first.state, router.running()) == ("served", ["2"])
    assert router.loop.time() == 1000.5
    second.answered()
    await settled()
    assert (second.state, second.record.attempts, router.left()) == ("served", 1, ["served"])
    assert (len(router.runner.queue), router.in_flight) == (0, 0)


@virtual_time
async def test_a_slot_that_frees_by_the_clock_is_taken_when_it_does() -> None:
    router = Router(group(one(rpm=2)))
    await router.ask_all("1")
    await asyncio.sleep(55.3)
    await router.ask_all("2", "3")
    assert router.waiting() == ["3"]
    await asyncio.sleep(4.699)
    assert router.waiting() == ["3"]
    await asyncio.sleep(0.002)
    assert router.running() == ["1", "2", "3"]


@virtual_time
async def test_where_no_slot_frees_in_time_the_429_comes_at_once_with_the_true_wait() -> None:
    router = Router(group(one(rpm=1)))
    _, second = await router.ask_all("1", "2")
    assert second.state == "429 rate_limit_exceeded"
    assert second.error is not None
    assert second.error.retry_after == 60.0
    assert (second.ended, router.left()) == (1000.0, ["refused"])


@virtual_time
async def test_a_cooldown_after_a_429_is_waited_for_too() -> None:
    router = Router(group(one(), num_retries=0))
    (first,) = await router.ask_all("1")
    first.answered(LIMITED)
    await settled()
    assert first.state == "429 rate_limit_exceeded"
    await router.ask_all("2")
    assert router.waiting() == ["2"]
    await asyncio.sleep(3.0)
    await settled()
    assert router.running() == ["2"]


@virtual_time
async def test_what_is_down_is_not_waited_for() -> None:
    router = Router(group(one(), num_retries=0))
    for name in ("1", "2", "3"):
        (asked,) = await router.ask_all(name)
        asked.answered(UpstreamFailure(FailureKind.CONNECT, "refused the connection"))
        await settled()
    (last,) = await router.ask_all("4")
    assert last.state == "503 no_deployment_available"
    assert router.left() == []


@virtual_time
async def test_who_waits_when_all_goes_down_is_told_so_at_once() -> None:
    router = Router(group(one(max_parallel_requests=1), num_retries=0))
    first, second = await router.ask_all("1", "2")
    load = router.store.candidates().__next__().load
    load.breaker.open_until = router.loop.time() + 30.0
    first.answered()
    await settled()
    assert (second.state, router.left()) == ("503 no_deployment_available", ["refused"])


@virtual_time
async def test_a_full_room_is_a_503_at_once() -> None:
    router = Router(group(one(max_parallel_requests=1), queue=QueuePolicy(2)))
    *_, last = await router.ask_all("1", "2", "3", "4")
    assert router.waiting() == ["2", "3"]
    assert (last.state, last.ended) == ("503 overloaded", 1000.0)
    assert last.error is not None
    assert last.error.retry_after is not None
    assert router.runner.queue.waiting() == {"gpt": 2}


@virtual_time
async def test_past_a_full_room_goes_who_wants_what_nobody_waits_for() -> None:
    chats, embeds = deployment("a", max_parallel_requests=1, mode="chat"), deployment("b", mode="completion")
    router = Router(group(chats, embeds, queue=QueuePolicy(1)))
    await router.ask_all("1", "2")
    (asked,) = await router.ask_all("3")
    assert asked.state == "503 overloaded"
    other = router.ask("4", kind="completion")
    await settled()
    assert (other.state, router.waiting()) == ("runs", ["2"])


@virtual_time
async def test_the_longest_wait_ends_in_a_429() -> None:
    router = Router(group(one(max_parallel_requests=1), queue=QueuePolicy(5, timeout=2.0)))
    _, second = await router.ask_all("1", "2")
    await asyncio.sleep(1.9)
    assert second.state == "waits"
    await asyncio.sleep(0.2)
    assert second.state == "429 rate_limit_exceeded"
    assert second.ended == pytest.approx(1002.0)
    assert router.left() == ["timeout"]
    assert len(router.runner.queue) == 0


@virtual_time
async def test_waiting_counts_against_the_deadline_of_the_request() -> None:
    router = Router(group(one(max_parallel_requests=1)))
    _, second = await router.ask_all("1", "2", timeout=3.0)
    await asyncio.sleep(3.0)
    await settled()
    assert (second.state, second.ended) == ("504 timeout", 1003.0)


@virtual_time
async def test_waiting_is_no_attempt() -> None:
    router = Router(group(one(max_parallel_requests=1), max_attempts=1))
    first, second = await router.ask_all("1", "2")
    first.answered()
    await settled()
    second.answered()
    await settled()
    assert (second.state, second.record.attempts) == ("served", 1)


@virtual_time
async def test_who_hangs_up_leaves_the_room_at_once() -> None:
    router = Router(group(one(max_parallel_requests=1)))
    _, second, third = await router.ask_all("1", "2", "3")
    assert second.task is not None
    second.task.cancel()
    await settled()
    assert (second.state, router.runner.queue.waiting()) == ("gone", {"gpt": 1})
    await router.answer_next()
    assert third.state == "runs"
    assert router.left() == ["client_gone", "served"]


@virtual_time
async def test_who_hangs_up_in_the_very_moment_of_its_turn_gives_the_slot_to_the_next() -> None:
    router = Router(group(one(max_parallel_requests=1)))
    first, second, third = await router.ask_all("1", "2", "3")
    first.answered()
    await turns_until(lambda: router.runner.queue.waiting() == {"gpt": 1})
    assert second.task is not None
    second.task.cancel()  # it has its lease, and does not know of it yet
    await settled()
    assert (second.state, third.state) == ("gone", "runs")
    third.answered()
    await settled()
    assert router.in_flight == 0


@virtual_time
async def test_nothing_of_the_limits_is_used_up_by_who_hangs_up_at_its_turn() -> None:
    router = Router(group(one(rpm=2, max_parallel_requests=1)))
    first, second, third = await router.ask_all("1", "2", "3")
    first.answered()
    await turns_until(lambda: router.runner.queue.waiting() == {"gpt": 1})
    assert second.task is not None
    second.task.cancel()
    await settled()
    assert third.state == "runs", "the second of two requests a minute"


@virtual_time
async def test_keys_take_turns_and_priorities_go_first() -> None:
    router = Router(group(one(max_parallel_requests=1)))
    await router.ask_all("running", key="z")
    await router.ask_all("a1", "a2", "a3", key="a")
    await router.ask_all("b1", "b2", key="b")
    await router.ask_all("urgent", key="c", priority=-1)
    for _ in range(7):
        await router.answer_next()
    assert router.order == ["running", "urgent", "a1", "b1", "a2", "b2", "a3"]


@virtual_time
async def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    router = Router(group(one(rpm=1)))
    await router.ask_all("1")
    await asyncio.sleep(55.0)
    await router.ask_all("2", key="a")
    newcomer: list[object] = []
    router.loop.call_at(1060.0, lambda: newcomer.append(router.ask("3", key="b")))
    await asyncio.sleep(5.0)
    await settled()
    assert router.order == ["1", "2"]


@virtual_time
async def test_small_requests_do_not_overtake_a_large_one_for_ever() -> None:
    router = Router(group(one(tpm=100)))
    await router.ask_all("1", tokens=60)
    await asyncio.sleep(55.0)
    await router.ask_all("large", tokens=90)
    await router.ask_all("small", tokens=10)
    assert router.waiting() == ["large", "small"]
    await asyncio.sleep(5.0)
    await settled()
    assert router.order == ["1", "large", "small"]


@virtual_time
async def test_who_waits_for_one_deployment_does_not_hold_up_who_wants_another() -> None:
    chats, embeds = deployment("a", max_parallel_requests=1, mode="chat"), deployment("b", mode="completion")
    router = Router(group(chats, embeds))
    await router.ask_all("1", "2")
    other = router.ask("3", kind="completion")
    await settled()
    assert (other.state, router.waiting()) == ("runs", ["2"])


@virtual_time
async def test_who_waits_behind_does_not_take_what_those_ahead_wait_for() -> None:
    router = Router(group(deployment("a", tpm=100), deployment("b", mode="chat", max_parallel_requests=1)))
    await router.ask_all("1", tokens=60, kind="completion")
    await router.ask_all("2", tokens=50)
    assert [asked.record.deployment for asked in router.all] == ["a", "b"]
    await asyncio.sleep(55.0)
    await router.ask_all("large", tokens=90, kind="completion")
    await router.ask_all("small", tokens=10)
    assert router.waiting() == ["large", "small"]
    router.all[1].answered(reply(prompt=50, completion=0))
    await settled()
    assert router.waiting() == ["large"]


@virtual_time
async def test_who_leaves_frees_what_it_held_for_those_behind() -> None:
    router = Router(group(one(tpm=100)))
    await router.ask_all("1", tokens=60)
    await asyncio.sleep(55.0)
    large, _ = [*await router.ask_all("large", tokens=90), *await router.ask_all("small", tokens=10)]
    assert large.task is not None
    large.task.cancel()
    await settled()
    assert router.running() == ["1", "small"]


@virtual_time
async def test_fallbacks_are_taken_before_anybody_waits() -> None:
    groups = (group(one(max_parallel_requests=1), fallbacks=("other",)), group(deployment("b", "other"), name="other"))
    router = Router(*groups)
    _, second = await router.ask_all("1", "2")
    assert (second.state, second.record.served_by) == ("runs", "other")
    assert len(router.runner.queue) == 0


@virtual_time
async def test_one_backend_under_two_names_wakes_both_rooms() -> None:
    here = deployment("a", max_parallel_requests=1, backend="same")
    there = deployment("b", "other", max_parallel_requests=1, backend="same")
    router = Router(group(here), group(there, name="other"))
    first, _ = await router.ask_all("1", "2")
    third = router.ask("3", model="other")
    await settled()
    first.answered()
    await settled()
    assert router.running() == ["2"]
    await router.answer_next()
    assert third.state == "runs"


@virtual_time
async def test_upstreams_word_is_waited_for_until_the_reset_it_names() -> None:
    router = Router(group(one()))
    (first,) = await router.ask_all("1")
    first.answered(reply(headers={b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"4s"}))
    await settled()
    await router.ask_all("2")
    assert router.waiting() == ["2"]
    await asyncio.sleep(4.0)
    await settled()
    assert router.running() == ["2"]


@virtual_time
async def test_what_filters_find_is_told_once_however_long_a_request_waits() -> None:
    router = Router(group(one(max_parallel_requests=1)))
    await router.ask_all("1", "2")
    await asyncio.sleep(5.0)
    assert [event for event in router.events if isinstance(event, Rejected)] == [Rejected("gpt", Reason.PARALLEL)]


@virtual_time
async def test_an_error_nobody_foresaw_is_the_waiting_requests_own() -> None:
    router = Router(group(one(max_parallel_requests=1)))
    first, second, third = await router.ask_all("1", "2", "3")
    waiter = next(iter(router.runner.queue._rooms["gpt"].line))

    def fails(held: object) -> None:
        raise ZeroDivisionError

    waiter.probe = fails  # type: ignore[assignment]
    first.answered()
    await settled()
    assert (first.state, third.state) == ("served", "runs")
    assert second.task is not None
    with pytest.raises(ZeroDivisionError):
        await second.task


@virtual_time
async def test_a_queue_of_many_is_served_to_the_last_in_order() -> None:
    router = Router(group(one(max_parallel_requests=3), queue=QueuePolicy(500, timeout=500.0)))
    names = [f"{number}" for number in range(300)]
    for name in names:
        router.ask(name, timeout=900.0)
    await settled()
    while router.running():
        await router.answer_next()
    assert router.order == names
    assert router.in_flight == 0


def test_the_policy_says_how_long_and_how_many() -> None:
    assert (QUEUE.max_waiting, QueuePolicy(1).timeout) == (10, 10.0)
