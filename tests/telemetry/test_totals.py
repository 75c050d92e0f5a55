"""One sum for several workers, before and after one of them dies."""

from __future__ import annotations

import orjson

from router.telemetry.cells import Family, Snapshot
from router.telemetry.totals import Changes, Told, Totals, told

REQUESTS = "router_requests_total"
IN_FLIGHT = "router_in_flight_requests"
STARTED = "process_start_time_seconds"
CPU = "process_cpu_seconds_total"
LABELS = ("gpt", "chat", "200", "ok")


def sent(message: Told) -> Told:
    """As it arrives."""
    return dict(orjson.loads(orjson.dumps(message)))


def snapshot(family: Family) -> Snapshot:
    return {family.row.name: family.cells}


async def test_only_what_has_changed_is_told_again() -> None:
    family, changes = Family(REQUESTS), Changes()
    family.add(LABELS, 3)
    family.add(("other", "chat", "404", "error"))
    assert len((await changes.since(snapshot(family)))[REQUESTS]) == 2
    assert await changes.since(snapshot(family)) == {}
    family.add(LABELS)
    assert await changes.since(snapshot(family)) == {REQUESTS: [(list(LABELS), [4.0])]}


async def test_what_was_told_does_not_change_afterwards() -> None:
    family, changes = Family(REQUESTS), Changes()
    family.add(LABELS)
    first = await changes.since(snapshot(family))
    family.add(LABELS)
    assert first == {REQUESTS: [(list(LABELS), [1.0])]}


async def test_the_sum_is_of_all_and_a_dead_workers_counts_stay_in_it() -> None:
    totals, families, changes = Totals(), [Family(REQUESTS), Family(REQUESTS)], [Changes(), Changes()]
    for number in range(2):
        families[number].add(LABELS, 10.0 * (number + 1))
        totals.changed(number, sent(await changes[number].since(snapshot(families[number]))))
    assert totals.sum({})[REQUESTS] == {LABELS: [30.0]}
    totals.lost(1)
    assert totals.sum({})[REQUESTS] == {LABELS: [30.0]}
    families[0].add(LABELS)
    totals.changed(0, sent(await changes[0].since(snapshot(families[0]))))
    assert totals.sum({})[REQUESTS] == {LABELS: [31.0]}
    totals.changed("1 again", {REQUESTS: [(list(LABELS), [5.0])]})
    totals.lost("1 again")
    assert totals.sum({REQUESTS: {LABELS: [1.0]}})[REQUESTS] == {LABELS: [37.0]}


def test_gauges_are_merged_as_the_table_says_and_die_with_their_worker() -> None:
    totals = Totals()
    for number, figures in enumerate(((3.0, 100.0, 1.5), (4.0, 200.0, 2.5))):
        read: Snapshot = {IN_FLIGHT: {(): [figures[0]]}, STARTED: {(): [figures[1]]}, CPU: {(): [figures[2]]}}
        totals.read(number, sent(told(read)))
    assert totals.sum({}) == {IN_FLIGHT: {(): [7.0]}, STARTED: {(): [100.0]}, CPU: {(): [4.0]}}
    totals.lost(0)
    assert totals.sum({}) == {IN_FLIGHT: {(): [4.0]}, STARTED: {(): [200.0]}, CPU: {(): [4.0]}}


def test_a_gauge_that_is_no_longer_read_is_gone() -> None:
    totals = Totals()
    totals.read(0, {"router_deployment_in_flight": [(["m", "old"], [1.0])]})
    totals.read(0, {"router_deployment_in_flight": [(["m", "new"], [1.0])]})
    assert totals.sum({}) == {"router_deployment_in_flight": {("m", "new"): [1.0]}}


def test_the_sum_leaves_what_it_is_made_of_as_it_is() -> None:
    totals = Totals()
    totals.changed(0, {REQUESTS: [(list(LABELS), [1.0])]})
    totals.sum({})[REQUESTS][LABELS][0] = 9.0
    assert totals.sum({})[REQUESTS] == {LABELS: [1.0]}
