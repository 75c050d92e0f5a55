"""The client goes away at every single await of a request, whatever upstream is doing at that moment."""

from __future__ import annotations

from itertools import count

import pytest

from router.core.catalogue import Catalogue
from router.core.types import CooldownPolicy, Deployment, ModelGroup, RoutingPolicy
from tests.flow.behaviours import EITHER, STREAMS, WHOLES
from tests.flow.promises import assert_all_kept
from tests.flow.stories import Asks, Played, Story, play

COOLDOWN = CooldownPolicy(allowed_fails=2, base=1.0)
LIMITS = RoutingPolicy(
    num_retries=3, attempt_timeout=8.0, connect_timeout=2.0, first_token_timeout=4.0, stream_idle_timeout=3.0,
    fallbacks=("beta",), cooldown=COOLDOWN,
)  # fmt: skip


def deployment(id: str, group: str) -> Deployment:
    return Deployment(id, group, "openai", f"model-of-{id}", f"http://{id}.test/v1", (f"key-of-{id}",),
                      headers={"x-account": id})  # fmt: skip


CATALOGUE = Catalogue(
    {
        "alpha": ModelGroup("alpha", ((deployment("a0", "alpha"),), (deployment("a1", "alpha"),)), LIMITS),
        "beta": ModelGroup("beta", ((deployment("b0", "beta"),),), LIMITS),
    }
)


def request_met_by(behaviour: str, *, stream: bool, at: int, waking: bool, rest: float = 0.0) -> Played:
    """A request whose own group behaves like that, and whose fallback is well; cancelled at the `at`-th await."""
    asks = Asks(stream=stream, interrupted_at=at, waking=waking, rest=rest)
    return play(Story(CATALOGUE, {"a0.test": (behaviour,), "a1.test": (behaviour,)}, (asks,)))


def interrupt_everywhere(behaviour: str, *, stream: bool, waking: bool, rest: float = 0.0) -> int:
    """Returns how many awaits there were to be cancelled at."""
    for at in count():
        played = request_met_by(behaviour, stream=stream, at=at, waking=waking, rest=rest)
        assert_all_kept(played)
        told = played.told[0]
        if not told.cancelled:
            return at
        assert at < 50
    raise AssertionError


@pytest.mark.parametrize("waking", [False, True], ids=["while it waits", "as its wait ends"])
@pytest.mark.parametrize("behaviour", [*EITHER, *STREAMS])
def test_a_stream_may_be_given_up_at_any_await(behaviour: str, waking: bool) -> None:
    assert interrupt_everywhere(behaviour, stream=True, waking=waking) >= 2


@pytest.mark.parametrize("waking", [False, True], ids=["while it waits", "as its wait ends"])
@pytest.mark.parametrize("behaviour", [*EITHER, *WHOLES])
def test_a_whole_reply_may_be_given_up_at_any_await(behaviour: str, waking: bool) -> None:
    assert interrupt_everywhere(behaviour, stream=False, waking=waking) >= 2


@pytest.mark.parametrize("waking", [False, True], ids=["while it waits", "as its wait ends"])
@pytest.mark.parametrize("behaviour", STREAMS)
def test_a_slow_reader_may_give_up_a_stream_at_any_await(behaviour: str, waking: bool) -> None:
    assert interrupt_everywhere(behaviour, stream=True, waking=waking, rest=1.0) >= 2


def test_nobody_is_blamed_for_a_client_that_goes_away_while_upstream_hangs() -> None:
    for _ in range(2):
        played = request_met_by("hangs", stream=False, at=1, waking=False)
        assert [outcome.told for _, outcome in played.store.settled] == [False]
        assert played.told[0].sent[0].open is False
