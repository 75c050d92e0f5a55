from __future__ import annotations

from random import Random

import pytest

from router.core.encodings import O200K
from router.core.errors import FailureKind, UpstreamFailure
from router.core.failover import Failover, FallbackKind, Stop, Try
from router.core.room import Room, room
from router.core.types import ModelGroup, RouteRequest, Usage
from router.state.base import Outcome, Served
from tests.core.making import World, deployment, group, request, tier


def sized(name: str, window: int | None, group: str = "gpt", **more: object) -> ModelGroup:
    return ModelGroup(group, (tier(name, group=group, context_window=window, **more),))


@pytest.mark.parametrize(
    ("size", "counts", "estimate", "output", "found"),
    [
        (100, None, 999, None, Room.FITS),  # by its bytes, whatever the estimate says
        (101, None, 149, None, Room.MAY_FIT),
        (101, None, 150, None, Room.SEEMS_TOO_LARGE),
        (None, None, 10, None, Room.MAY_FIT),
        (500, {O200K: 100}, 400, None, Room.FITS),
        (500, {O200K: 101}, 10, None, Room.TOO_LARGE),
        (500, {O200K: 60}, 10, 41, Room.TOO_LARGE),
        (500, {O200K: 60}, 10, 40, Room.FITS),
        (500, {"another": 101}, 10, None, Room.MAY_FIT),
    ],
)
def test_bytes_pass_counts_settle_and_estimates_move(
    size: int | None, counts: dict[str, int] | None, estimate: int, output: int | None, found: Room
) -> None:
    place = deployment("d", model="gpt-4o", context_window=100)
    asked = request(tokens=estimate, size=size, counts=counts, max_output=output)
    assert room(asked, place, estimate) is found


def test_a_window_nobody_knows_has_room() -> None:
    assert room(request(tokens=10**9), deployment("d"), 10**9) is Room.FITS


def steps(world: World, asked: RouteRequest, *failures: FailureKind) -> list[str]:
    """The deployments that are tried, each failing as told, and what comes after."""
    failover = Failover(asked, world.group(), world.catalogue, Random(1), lambda _: None)
    told: list[str] = []
    for kind in (*failures, None):
        step = failover.next(world.store.view())
        if isinstance(step, Stop):
            return [*told, step.error.code]
        assert isinstance(step, Try)
        told.append(step.candidate.deployment.id)
        if kind is not None:
            failover.failed(step, UpstreamFailure(kind, "400", status=400))
    return told


def test_a_small_deployments_window_error_goes_to_a_larger_one_of_its_group_before_any_fallback() -> None:
    small, large = tier("small", context_window=1000), tier("large", context_window=9000)
    world = World(group(small, large, context_window_fallbacks=("big",)), sized("big", 10_000, "big"))
    window = FailureKind.CONTEXT_WINDOW
    assert steps(world, request(tokens=900), window) == ["small", "large"]
    assert steps(world, request(tokens=900), window, window) == ["small", "large", "big"]
    assert steps(world, request(tokens=900, num_retries=0), window) == ["small", "large"]


def test_a_deployment_of_the_same_size_is_not_asked_again() -> None:
    alike = group(tier("a", "b", context_window=1000), context_window_fallbacks=("big",))
    world = World(alike, sized("big", None, "big"))
    told = steps(world, request(tokens=900), FailureKind.CONTEXT_WINDOW)
    assert told[1] == "big"


def test_the_smallest_window_with_room_is_the_first_fallback() -> None:
    names = ("huge", "tiny", "unknown", "fitting")
    groups = [sized("huge", 10**6, "huge"), sized("tiny", 10, "tiny"), sized("unknown", None, "unknown"),
              sized("fitting", 5000, "fitting")]  # fmt: skip
    world = World(group(tier("d", context_window=1000), context_window_fallbacks=names), *groups)
    window = FailureKind.CONTEXT_WINDOW
    assert steps(world, request(tokens=2000, num_retries=0), window, window, window, window) == [
        "fitting", "huge", "unknown", "tiny", "context_length_exceeded",
    ]  # fmt: skip
    assert steps(world, request(tokens=900, num_retries=0), window, window)[:3] == ["d", "fitting", "huge"]


def test_the_requests_own_list_goes_before_the_configured_one() -> None:
    world = World(
        group(tier("d", context_window=1000), context_window_fallbacks=("big",)),
        sized("big", 10**6, "big"), sized("mine", 10**5, "mine"),
    )  # fmt: skip
    assert steps(world, request(tokens=2000, context_window_fallbacks=("mine",))) == ["mine"]


def test_an_estimate_moves_a_prompt_and_never_refuses_it() -> None:
    world = World(group(tier("d", context_window=1000)))
    assert steps(world, request(tokens=10**6)) == ["d"]


def test_an_exact_count_refuses_where_nobody_has_room() -> None:
    world = World(group(tier("d", model="gpt-4o", context_window=1000)))
    asked = request(tokens=1001, size=5000, counts={O200K: 1001})
    failover = Failover(asked, world.group(), world.catalogue, Random(1), lambda _: None)
    step = failover.next(world.store.view())
    assert isinstance(step, Stop)
    assert (step.error.status, step.error.code, step.error.param) == (400, "context_length_exceeded", "messages")
    assert steps(world, asked._replace(counts={O200K: 1000})) == ["d"]


def test_an_exact_count_takes_the_fallback_before_anything_is_sent() -> None:
    world = World(
        group(tier("d", model="gpt-4o", context_window=1000), context_window_fallbacks=("big",)),
        sized("big", 10_000, "big"),
    )
    failover = Failover(
        request(tokens=1001, size=5000, counts={O200K: 1001}), world.group(), world.catalogue, Random(1), lambda _: None
    )
    step = failover.next(world.store.view())
    assert isinstance(step, Try)
    assert (step.group.name, failover.fallback, failover.attempts) == ("big", FallbackKind.CONTEXT_WINDOW, 1)


def after(world: World, expected: int, reported: int) -> int:
    """What a prompt estimated at 10,000 tokens is taken for, after replies to such ones."""
    asked = request(tokens=expected)
    for _ in range(300):
        lease = world.store.acquire(world.group(), world.candidate("d"), world.store.view().expect(asked, "gpt"))
        world.store.settle(lease, Outcome(served=Served(1.0, None, Usage(reported, 10))))
    return world.store.view().expect(request(tokens=10_000), "gpt").prompt_tokens


def test_what_replies_report_corrects_the_estimate_of_the_next_prompts() -> None:
    assert after(World(group(tier("d"))), 10_000, 14_000) == pytest.approx(14_000, rel=0.03)
    assert after(World(group(tier("d"))), 10_000, 7_000) == pytest.approx(7_000, rel=0.03)
    assert after(World(group(tier("d"))), 10_000, 10_000) == 10_000


def test_a_fixed_part_on_top_of_small_prompts_says_little_about_large_ones() -> None:
    assert after(World(group(tier("d"))), 20, 320) < 16_000


def test_what_was_counted_is_not_corrected() -> None:
    world = World(group(tier("d")))
    after(world, 10_000, 14_000)
    assert world.store.view().expect(request(tokens=100, counts={O200K: 100}), "gpt").prompt_tokens == 100
