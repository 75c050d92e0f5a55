"""Strict limits on a request's way: asked for after the choice, before anything is sent."""

from __future__ import annotations

import asyncio

import pytest

from router.core.catalogue import Catalogue
from router.core.types import Deployment, Limits, ModelGroup, RoutingPolicy, Strict
from router.state.books import Booked, Refusal
from router.state.exchange import MediumError
from tests.flow.promises import (
    assert_all_kept,
    i1_every_lease_is_settled_exactly_once_and_in_flight_returns_to_zero,
    i2_no_backend_is_tried_twice_while_another_candidate_is_left,
)
from tests.flow.stories import START, Asks, Played, Story, play

STRICT = Strict(rpm=True)
CLOSED = Strict(rpm=True, closed=True)


class Counter:
    """Knows who has how much left. `hangs`: never answers; `broken`: is not there."""

    def __init__(self, left: dict[str, int], *, hangs: bool = False, broken: bool = False) -> None:
        self.left = left
        self._hangs = hangs
        self._broken = broken

    async def take(self, subject: str, limits: Limits, tokens: int) -> Booked | Refusal:
        await asyncio.sleep(1000.0 if self._hangs else 0.001)
        if self._broken:
            raise MediumError("unreachable")
        if self.left.get(subject, 0) <= 0:
            return Refusal("rpm", 40.0)
        self.left[subject] -= 1
        return Booked(1)

    async def correct(self, subject: str, booked: Booked, requests: int, tokens: int) -> None: ...
    async def book(self, subject: str, age: int, requests: int, tokens: int, name: str) -> Booked:
        return Booked(1)

    async def close(self) -> None: ...


def plays(
    counter: Counter, *names: str, strict: Strict = STRICT, asks: tuple[Asks, ...] = (Asks(),), seed: int = 0
) -> Played:
    tier = tuple(
        Deployment(name, "alpha", "openai", f"model-of-{name}", f"http://{name}.test/v1",
                   headers={"x-account": name}, rpm=100, strict=strict, backend=name)
        for name in names
    )  # fmt: skip
    catalogue = Catalogue({"alpha": ModelGroup("alpha", (tier,), RoutingPolicy(num_retries=2))})
    played = play(Story(catalogue, {}, asks, seed, exact=counter))
    if all(len(told.client.leases) == len(told.sent) for told in played.told):
        assert_all_kept(played)
    else:  # of a lease that was refused upstream knows nothing
        i1_every_lease_is_settled_exactly_once_and_in_flight_returns_to_zero(played)
        i2_no_backend_is_tried_twice_while_another_candidate_is_left(played)
    return played


def booked_here(played: Played) -> int:
    """Requests that memory counts, too."""
    meters = [candidate.load.meter for candidate in played.store.candidates()]
    return sum(meter.requests.counted for meter in meters if meter is not None and meter.requests is not None)


def test_what_has_room_is_sent() -> None:
    counter = Counter({"a": 1})
    [told] = plays(counter, "a").told
    assert told.error is None
    assert len(told.sent) == 1
    assert counter.left == {"a": 0}


@pytest.mark.parametrize("seed", range(4))
def test_where_one_has_no_room_another_serves(seed: int) -> None:
    counter = Counter({"b": 1})
    played = plays(counter, "a", "b", seed=seed)
    [told] = played.told
    assert told.error is None
    assert len(told.sent) == 1
    assert counter.left == {"b": 0}
    assert booked_here(played) == 1, "what was refused is given back"


def test_where_nobody_has_room_it_is_a_429_with_the_time() -> None:
    played = plays(Counter({}), "a", "b", asks=(Asks(timeout=5.0),))
    [told] = played.told
    assert told.error is not None
    assert told.error.status == 429
    assert told.error.retry_after == 40.0
    assert told.sent == []
    assert booked_here(played) == 0


@pytest.mark.parametrize("counter", [Counter({}, hangs=True), Counter({}, broken=True)])
def test_where_nobody_can_be_asked_the_open_side_sends_and_the_closed_answers_503(counter: Counter) -> None:
    [told] = plays(counter, "a").told
    assert told.error is None
    played = plays(counter, "a", strict=CLOSED)
    [told] = played.told
    assert told.error is not None
    assert (told.error.status, told.error.code) == (503, "limit_unavailable")
    assert told.sent == []
    assert booked_here(played) == 0
    assert told.finished - START <= 0.03


def test_a_client_that_leaves_while_it_is_asked_for_leaves_nothing_booked() -> None:
    played = plays(Counter({}, hangs=True), "a", asks=(Asks(leaves=0.01),))
    [told] = played.told
    assert told.cancelled
    assert booked_here(played) == 0
    assert played.in_flight == [0]
