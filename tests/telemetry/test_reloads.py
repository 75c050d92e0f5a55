"""What is known of the configuration in force: its age, and whether another was refused."""

from __future__ import annotations

from router.core.events import Event, Reloaded
from router.telemetry.reloads import Reloads
from tests.telemetry.scraping import Samples, listening, scraped, value

LAST = "router_config_last_reload_successful"
SINCE = "router_config_last_reload_success_timestamp_seconds"
TOTAL = "router_config_reloads_total"
GOOD = Reloaded(160.0, 0.1)
BAD = Reloaded(190.0, 0.1, problems=("router.yaml:1:1: no",))


async def after(*events: Event) -> Samples:
    metrics, bus = listening()
    Reloads(metrics.family, 100.0).listen(bus)
    for event in events:
        bus(event)
    return await scraped(metrics)


async def test_the_first_configuration_is_a_good_one() -> None:
    found = await after()
    assert (value(found, LAST), value(found, SINCE)) == (1, 100.0)


async def test_one_that_is_refused_leaves_the_age_of_the_one_in_force() -> None:
    found = await after(GOOD, BAD)
    assert (value(found, LAST), value(found, SINCE)) == (0, 160.0)
    assert (value(found, TOTAL, outcome="success"), value(found, TOTAL, outcome="failure")) == (1, 1)


async def test_until_a_good_one_comes() -> None:
    found = await after(BAD, GOOD)
    assert (value(found, LAST), value(found, SINCE)) == (1, 160.0)
