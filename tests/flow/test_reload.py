"""Another catalogue comes into force under requests that are under way: each ends on the one it began with."""

from __future__ import annotations

import asyncio

from router.core.errors import FailureKind, UpstreamFailure
from tests.flow.queueing import Router, deployment, group, settled
from tests.virtual_time import virtual_time

DOWN = UpstreamFailure(FailureKind.SERVER_ERROR, "503", status=503)
A, B, C = (deployment(id, max_parallel_requests=1) for id in "abc")
OTHER = group(deployment("o", "other"), name="other", queue=None)


@virtual_time
async def test_an_answer_that_comes_after_its_model_has_gone() -> None:
    router = Router(group(A))
    (asked,) = await router.ask_all("1")
    router.reload(OTHER)
    asked.answered()
    await settled()
    assert (asked.state, asked.record.deployment) == ("served", "a")


@virtual_time
async def test_a_retry_after_its_model_has_gone() -> None:
    router = Router(group(A, B, queue=None))
    (asked,) = await router.ask_all("1")
    first = asked.record.deployment
    router.reload(OTHER)
    asked.answered(DOWN)
    await settled()
    assert {first, asked.record.deployment} == {"a", "b"}
    asked.answered()
    await settled()
    assert (asked.state, asked.record.attempts) == ("served", 2)


@virtual_time
async def test_a_fallback_after_both_models_have_gone() -> None:
    router = Router(group(A, queue=None, num_retries=0, fallbacks=("spare",)), group(B, name="spare"))
    (asked,) = await router.ask_all("1")
    router.reload(OTHER)
    asked.answered(DOWN)
    await settled()
    asked.answered()
    await settled()
    assert (asked.state, asked.record.deployment) == ("served", "b")


@virtual_time
async def test_a_wait_before_the_same_one_is_asked_again() -> None:
    router = Router(group(A, queue=None))
    (asked,) = await router.ask_all("1")
    asked.answered(DOWN)
    await settled()
    router.reload(OTHER)
    await asyncio.sleep(10.0)
    asked.answered()
    await settled()
    assert (asked.state, asked.record.attempts) == ("served", 2)


@virtual_time
async def test_who_waited_in_line_gets_the_slot_he_waited_for() -> None:
    router = Router(group(A))
    first, second = await router.ask_all("1", "2")
    router.reload(OTHER)
    first.answered()
    await settled()
    assert router.running() == ["2"]
    second.answered()
    await settled()
    assert (second.state, second.record.deployment) == ("served", "a")


@virtual_time
async def test_newcomers_stand_in_the_same_line_and_go_when_a_new_deployment_frees() -> None:
    router = Router(group(A))
    first, second = await router.ask_all("1", "2")
    router.reload(group(C))
    third, fourth = await router.ask_all("3", "4")
    assert (router.running(), router.waiting()) == (["1", "3"], ["2", "4"])
    third.answered()
    await settled()
    assert (router.running(), fourth.record.deployment) == (["1", "4"], "c")
    first.answered()
    await settled()
    assert second.record.deployment == "a"


@virtual_time
async def test_the_next_request_is_served_by_the_new_catalogue_with_the_load_as_it_is() -> None:
    router = Router(group(A, B, queue=None))
    (first,) = await router.ask_all("1")
    router.reload(group(A, B, C, queue=None, strategy="least-busy"))
    more = await router.ask_all("2", "3")
    assert {asked.record.deployment for asked in [first, *more]} == {"a", "b", "c"}
    for asked in [first, *more]:
        asked.answered()
    await settled()
    assert router.in_flight == 0
