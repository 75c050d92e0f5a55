"""The exchange of the workers of one host: what is its own, beside what every medium owes."""

from __future__ import annotations

from typing import Any

import pytest

from router.state.exchange import Ages, Batch, Cooldown, Failing, MediumError, Sample, Use
from router.state.local import HEARD_MOST, Keeper, LocalMedium, batch_of, plain
from tests.core.making import FakeClock

WHOLE = Batch(
    "r1", 3, 7, {"a": Use(1, 2, 3, 4, 5)}, {"a": Ages((1, 1), (2, 1))}, {"b": Failing(4.5, 0.25)}, {"c": True}, ["d"],
    {"a": Sample((10, 0.5), None)}, {"key:team": 1.5}, [Cooldown("b", 1, 9.0, True)], {"key:team": 20.0},
)  # fmt: skip


class Cut:
    """A line to a supervisor that is gone."""

    async def ask(self, what: str, told: Any, within: float) -> Any:
        raise ConnectionError

    def tell(self, what: str, told: Any) -> None:
        raise ConnectionError


def test_a_batch_comes_through_as_it_was() -> None:
    assert plain(batch_of(plain(WHOLE))) == plain(WHOLE)
    assert batch_of(plain(WHOLE)).uses == WHOLE.uses
    assert batch_of(plain(Batch("r1", 0, 0))).ages is None


def test_what_a_dead_worker_had_under_way_is_over_at_once_and_what_it_used_counts_on() -> None:
    keeper = Keeper(FakeClock(), lambda worker, cooldown: None)
    keeper.trade(1, plain(Batch("r1", 0, 1, {"a": Use(5, 9, 90)}, {"a": Ages((9,), (90,))})))
    assert keeper.trade(2, plain(Batch("r2", 0, 1)))[3] == {"a": plain(Use(5, 9, 90))}
    keeper.lost(1)
    keeper.lost(3)
    assert keeper.trade(2, plain(Batch("r2", 0, 2)))[3] == {"a": plain(Use(0, 9, 90))}


def test_a_published_cooldown_goes_to_the_others_and_into_the_next_picture() -> None:
    spread: list[tuple[int, Any]] = []
    keeper = Keeper(FakeClock(), lambda worker, cooldown: spread.append((worker, cooldown)))
    keeper.publish(1, ["r1", plain(Cooldown("b", None, 5.0))])
    assert spread == [(1, ["b", None, 5.0, False])]
    assert keeper.trade(2, plain(Batch("r2", 0, 1)))[4] == [["b", None, 5.0, False]]


async def test_without_a_supervisor_nobody_can_be_asked_and_leaving_is_no_trouble() -> None:
    medium = LocalMedium(Cut())
    with pytest.raises(MediumError, match="the supervisor is gone"):
        await medium.trade(WHOLE)
    with pytest.raises(MediumError):
        await medium.publish("r1", Cooldown("b", None, 5.0))
    await medium.leave("r1")
    await medium.close()


async def test_cooldowns_that_nobody_takes_in_do_not_pile_up() -> None:
    medium = LocalMedium(Cut())
    for _ in range(2 * HEARD_MOST):
        medium.hear(["b", 0, 5.0, True])
    heard = medium.listen("r1")
    assert await anext(heard) == Cooldown("b", 0, 5.0, True)
    await heard.aclose()
