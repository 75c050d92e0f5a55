"""A reply that the provider's content filter has cut off: an answer like any other, or another model's business."""

from __future__ import annotations

import pytest

from router.core.catalogue import Catalogue
from router.core.events import Cooled, FellBack
from router.core.failover import FallbackKind
from router.core.types import Deployment, ModelGroup, RoutingPolicy
from tests.flow.promises import assert_all_kept
from tests.flow.stories import Asks, Played, Story, play


def deployment(id: str, group: str) -> Deployment:
    return Deployment(id, group, "openai", f"model-of-{id}", f"http://{id}.test/v1", (f"key-of-{id}",),
                      headers={"x-account": id})  # fmt: skip


def told(first: str, *, stream: bool, second: str = "ok", **lists: tuple[str, ...]) -> Played:
    alpha = ModelGroup("alpha", ((deployment("a", "alpha"),),), RoutingPolicy(**lists))  # type: ignore[arg-type]
    beta = ModelGroup("beta", ((deployment("b", "beta"),),))
    behaviours = {"a.test": (first,), "b.test": (second,)}
    played = play(Story(Catalogue({"alpha": alpha, "beta": beta}), behaviours, (Asks(stream=stream),)))
    assert_all_kept(played)
    return played


FILTERED = "cut off by a filter"
EITHER = pytest.mark.parametrize("stream", [False, True])


@EITHER
def test_with_a_content_policy_fallback_it_moves_there(stream: bool) -> None:
    played = told(FILTERED, stream=stream, content_policy_fallbacks=("beta",))
    (one,) = played.told
    assert (one.error, one.record.served_by, one.record.attempts) == (None, "beta", 2)
    assert FellBack("alpha", "beta", FallbackKind.CONTENT_POLICY) in played.events
    assert not any(isinstance(event, Cooled) for event in played.events)


@EITHER
def test_without_one_it_is_the_answer_whatever_other_fallbacks_there_are(stream: bool) -> None:
    (one,) = told(FILTERED, stream=stream, fallbacks=("beta",)).told
    assert (one.error, one.record.served_by, one.record.attempts) == (None, "alpha", 1)
    assert b"content_filter" in one.exchange.body


def test_what_has_been_sent_in_part_does_not_move() -> None:
    played = told("cut off by a filter in the middle", stream=True, content_policy_fallbacks=("beta",))
    assert played.told[0].record.served_by == "alpha"
    assert b"content_filter" in played.told[0].exchange.body


@EITHER
def test_where_the_fallback_cuts_it_off_too_the_error_says_why(stream: bool) -> None:
    (one,) = told(FILTERED, stream=stream, second=FILTERED, content_policy_fallbacks=("beta",)).told
    assert one.error is not None
    assert (one.error.status, one.error.code) == (400, "content_policy_violation")
    assert "cut off by its content filter" in one.error.message
