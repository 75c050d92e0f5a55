from __future__ import annotations

import pytest

from router.core.filters import FILTERS, Reason, context_window
from router.core.load import Candidate
from router.core.plan import Plan, plan
from router.core.types import RouteRequest
from tests.core.making import POLICY, START, candidate, group, request, snapshot


def planned(*tiers: list[Candidate], tried: set[str] | None = None, asked: RouteRequest | None = None) -> Plan:
    return plan(asked or request(), group(), snapshot(tiers), tried or set())


def names(found: Plan) -> list[str]:
    return [each.deployment.id for each in found.candidates]


def reasons(found: Plan) -> list[tuple[str, Reason]]:
    return [(each.candidate.deployment.id, each.reason) for each in found.rejections]


def resting(name: str) -> Candidate:
    place = candidate(name)
    place.load.breaker.cool(START, START + 5.0, POLICY)
    return place


def test_the_whole_first_tier_is_offered_and_nothing_else() -> None:
    found = planned([candidate("a"), candidate("b")], [candidate("c")])
    assert names(found) == ["a", "b"]
    assert reasons(found) == []


def test_a_tier_without_anyone_left_gives_way_to_the_next() -> None:
    found = planned([resting("a"), candidate("b", enabled=False)], [candidate("c")], [candidate("d")])
    assert names(found) == ["c"]
    assert reasons(found) == [("a", Reason.UNHEALTHY), ("b", Reason.DISABLED)]


def test_one_that_is_left_in_a_tier_keeps_the_next_one_out() -> None:
    found = planned([resting("a"), candidate("b")], [candidate("c")])
    assert names(found) == ["b"]
    assert reasons(found) == [("a", Reason.UNHEALTHY)]


def test_with_nobody_left_everyone_is_named_with_a_reason() -> None:
    small, chat_only = candidate("b", context_window=10), candidate("c", mode="embedding")
    limited = candidate("d")
    limited.load.keys[0].until = START + 5.0
    found = planned([resting("a"), small], [chat_only, limited], asked=request(tokens=1000))
    assert names(found) == []
    assert reasons(found) == [
        ("a", Reason.UNHEALTHY),
        ("b", Reason.CONTEXT_WINDOW),
        ("c", Reason.CAPABILITY),
        ("d", Reason.COOLDOWN),
    ]


def test_the_first_reason_in_the_filters_order_is_the_one_told() -> None:
    place = candidate("a", enabled=False, mode="embedding", context_window=1)
    place.load.breaker.cool(START, START + 5.0, POLICY)
    assert reasons(planned([place], asked=request(tokens=100))) == [("a", Reason.DISABLED)]


def test_what_was_tried_is_passed_over_whatever_else_is_wrong_with_it() -> None:
    first, second = resting("a"), candidate("b")
    found = planned([first, second], tried={first.deployment.backend})
    assert names(found) == ["b"]
    assert reasons(found) == [("a", Reason.ALREADY_TRIED)]


def test_one_backend_under_two_ids_is_tried_once() -> None:
    one, other = candidate("a", backend="same"), candidate("b", backend="same")
    assert names(planned([one, other], tried={"same"})) == []


def test_an_empty_group_plans_nothing() -> None:
    assert planned() == ([], [])
    assert planned([]) == ([], [])


@pytest.mark.parametrize("size", [1, 50])
def test_a_filter_may_be_left_out(size: int) -> None:
    places = [candidate(f"d{index}", context_window=1) for index in range(size)]
    rest = tuple(each for each in FILTERS if each is not context_window)
    found = plan(request(tokens=100), group(), snapshot([places]), filters=rest)
    assert len(found.candidates) == size
