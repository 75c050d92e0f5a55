"""What an attempt has used up of a deployment's limits, however it ended."""

from __future__ import annotations

from typing import Any

import pytest

from router.core.catalogue import Catalogue
from router.core.types import Deployment, ModelGroup, RoutingPolicy
from tests.flow.promises import assert_all_kept
from tests.flow.stories import Asks, Played, Story, play

ESTIMATE = 20  # 10 tokens of prompt, 10 of output
USED = 11  # as the scripted upstream reports it


def plays(behaviour: str, *asks: Asks, **limits: Any) -> Played:
    deployment = Deployment(
        "a", "alpha", "openai", "model-of-a", "http://a.test/v1", headers={"x-account": "a"}, **limits
    )
    policy = RoutingPolicy(num_retries=0, first_token_timeout=4.0, stream_idle_timeout=3.0, attempt_timeout=10.0)
    catalogue = Catalogue({"alpha": ModelGroup("alpha", ((deployment,),), policy)})
    played = play(Story(catalogue, {"a.test": (behaviour,)}, asks or (Asks(),)))
    assert_all_kept(played)
    return played


def used(played: Played) -> tuple[int, int]:
    """Requests and tokens that are booked."""
    (candidate,) = played.store.candidates()
    meter = candidate.load.meter
    assert meter is not None
    assert meter.requests is not None
    assert meter.tokens is not None
    assert meter.in_flight == 0
    return meter.requests.counted, meter.tokens.counted


@pytest.mark.parametrize(
    ("behaviour", "stream", "requests", "tokens"),
    [
        ("ok", False, 1, USED),
        ("with usage", True, 1, USED),
        ("ok", True, 1, ESTIMATE),  # it reported no usage
        ("without usage", False, 1, ESTIMATE),
        ("refused", True, 0, 0),
        ("503", True, 1, 0),
        ("429", False, 1, 0),
        ("400", False, 1, 0),
        ("error before content", True, 1, ESTIMATE),
        ("error after content", True, 1, ESTIMATE),  # what came before it was generated
        ("ends after content", True, 1, ESTIMATE),
        ("stalls before content", True, 1, ESTIMATE),
        ("hangs", False, 1, ESTIMATE),
        ("garbage", False, 1, ESTIMATE),
    ],
)
def test_what_an_attempt_uses_up(behaviour: str, stream: bool, requests: int, tokens: int) -> None:
    assert used(plays(behaviour, Asks(stream=stream), rpm=5, tpm=1000)) == (requests, tokens)


def test_a_client_that_goes_away_has_used_what_was_reserved() -> None:
    assert used(plays("slow", Asks(leaves=0.5), rpm=5, tpm=1000)) == (1, ESTIMATE)


def test_requests_beyond_the_limit_are_never_sent() -> None:
    played = plays("ok", *(Asks(at=float(at)) for at in range(5)), rpm=2, tpm=1000)
    assert len(played.upstream.sent) == 2
    assert [told.error.code for told in played.told if told.error] == ["rate_limit_exceeded"] * 3
    assert [told.error.retry_after for told in played.told if told.error] == [58.0, 57.0, 56.0]
