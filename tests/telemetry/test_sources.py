from __future__ import annotations

from collections.abc import Callable

from router.core.breaker import BreakerState
from router.core.load import Candidate
from router.telemetry.metrics import Metrics
from router.telemetry.sources import STATES, ProcessFigures, deployments, queues
from tests.core.making import POLICY, START, candidate
from tests.telemetry.scraping import scraped, value


def showing(*candidates: Candidate, now: Callable[[], float] = lambda: START) -> Metrics:
    metrics = Metrics()
    metrics.read(lambda: deployments(lambda: candidates, now))
    return metrics


async def test_every_deployment_is_shown_as_it_is_when_scraped() -> None:
    east, west = candidate("east", in_flight=3), candidate("west")
    now = START
    metrics = showing(east, west, now=lambda: now)
    west.load.breaker.cool(START, START + 5.0, POLICY)
    found = await scraped(metrics)
    at_east, at_west = {"model": "gpt", "deployment": "east"}, {"model": "gpt", "deployment": "west"}
    assert value(found, "router_deployment_in_flight", **at_east) == 3
    assert value(found, "router_deployment_in_flight", **at_west) == 0
    assert value(found, "router_deployment_breaker_state", **at_east) == 0
    assert value(found, "router_deployment_breaker_state", **at_west) == 2
    assert value(found, "router_deployment_cooldown_seconds", **at_east) == 0
    assert value(found, "router_deployment_cooldown_seconds", **at_west) == 5
    assert value(found, "router_deployment_info", provider="openai", **at_east) == 1
    east.load.in_flight, now = 0, START + 6.0
    found = await scraped(metrics)
    assert value(found, "router_deployment_in_flight", **at_east) == 0
    assert value(found, "router_deployment_breaker_state", **at_west) == 1
    assert value(found, "router_deployment_cooldown_seconds", **at_west) == 0


def test_every_state_of_a_breaker_has_its_number() -> None:
    assert set(STATES) == set(BreakerState)


async def test_headroom_is_told_of_those_that_have_limits() -> None:
    limited, free = candidate("limited", rpm=100), candidate("free")
    found = await scraped(showing(limited, free))
    assert value(found, "router_deployment_headroom_ratio", model="gpt", deployment="limited") == 1.0
    assert value(found, "router_deployment_headroom_ratio", model="gpt", deployment="free") is None


async def test_a_key_at_rest_is_counted() -> None:
    east = candidate("east")
    east.load.keys[0].cool(START, 5.0, 300.0)
    found = await scraped(showing(east))
    assert value(found, "router_deployment_keys_resting", model="gpt", deployment="east") == 1


async def test_a_queue_is_shown_from_its_first_visitor_on() -> None:
    metrics, waiting = Metrics(), {"gpt": 2}
    left = metrics.family("router_queue_left_total")
    metrics.read(lambda: queues(lambda: waiting, left))
    assert value(await scraped(metrics), "router_queue_waiting", model="gpt") == 2
    left.add(("gpt", "served"))
    waiting.clear()
    assert value(await scraped(metrics), "router_queue_waiting", model="gpt") == 0


async def test_the_process_tells_of_itself() -> None:
    metrics = Metrics()
    metrics.read(ProcessFigures())
    found = await scraped(metrics)
    names = {name for name, _ in found}
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"} <= names
    assert any(name == "router_build_info" and count == 1 for (name, _), count in found.items())
