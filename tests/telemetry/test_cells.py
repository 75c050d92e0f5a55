from __future__ import annotations

import json

import pytest

from router.telemetry import cells
from router.telemetry.cells import Family, Snapshot, empty, merge
from router.telemetry.table import ROWS

WAIT = "router_queue_wait_seconds"
LEFT = "router_queue_left_total"


@pytest.mark.parametrize(
    ("observed", "bucket"), [(0.0, 0), (0.005, 0), (0.0050001, 1), (0.01, 1), (599.0, 16), (600.0, 16), (600.1, 17)]
)
def test_an_observation_is_counted_where_its_first_bound_is(observed: float, bucket: int) -> None:
    family = Family(WAIT)
    family.observe(("gpt",), observed)
    cell = family.cells["gpt",]
    assert [place for place, count in enumerate(cell[:-1]) if count] == [bucket]
    assert cell[-1] == observed


def test_a_cell_stays_the_same_list_so_that_it_can_be_kept() -> None:
    family = Family(LEFT)
    kept = family.cell(("gpt", "served"))
    kept[0] += 2.0
    family.add(("gpt", "served"))
    assert family.cell(("gpt", "served")) is kept
    assert family.cells == {("gpt", "served"): [3.0]}


def test_an_unknown_name_is_no_metric() -> None:
    with pytest.raises(KeyError):
        Family("router_made_up_total")


def test_series_end_somewhere_even_if_a_configuration_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "MOST_CELLS", 3)
    family = Family(LEFT)
    for index in range(10):
        family.add((f"m{index}", "served"))
    assert set(family.cells) == {("m0", "served"), ("m1", "served"), ("m2", "served"), ("other", "other")}
    assert family.cells["other", "other"] == [7.0]


def test_counters_and_histograms_of_several_processes_add_up() -> None:
    one, two = Family(WAIT), Family(WAIT)
    one.observe(("gpt",), 0.2)
    two.observe(("gpt",), 0.2)
    two.observe(("gpt",), 700.0)
    two.observe(("llama",), 1.0)
    merged = merge([{WAIT: one.cells}, {WAIT: two.cells}])[WAIT]
    assert sum(merged["gpt",][:-1]) == 3
    assert merged["gpt",][-1] == pytest.approx(700.4)
    assert merged["llama",] == two.cells["llama",]
    assert sum(one.cells["gpt",][:-1]) == 1, "what was merged is left as it was"


def test_gauges_come_together_as_the_table_says() -> None:
    place = ("gpt", "east")

    def worker(in_flight: float, breaker: float, headroom: float) -> Snapshot:
        return {
            "router_deployment_in_flight": {place: [in_flight]},
            "router_deployment_breaker_state": {place: [breaker]},
            "router_deployment_headroom_ratio": {place: [headroom]},
        }

    assert merge([worker(2, 0, 0.9), worker(3, 2, 0.4), worker(1, 1, 0.6)]) == worker(6, 2, 0.4)


def test_a_snapshot_travels_between_processes() -> None:
    family = Family(WAIT)
    family.observe(("gpt",), 0.2)
    snapshot: Snapshot = {WAIT: family.cells}
    sent = json.dumps({name: [[labels, cell] for labels, cell in cells.items()] for name, cells in snapshot.items()})
    received = {name: {tuple(labels): cell for labels, cell in pairs} for name, pairs in json.loads(sent).items()}
    assert merge([received]) == snapshot


@pytest.mark.parametrize("name", ROWS)
def test_an_empty_cell_has_room_for_what_its_metric_counts(name: str) -> None:
    row = ROWS[name]
    assert len(empty(row)) == (len(row.bounds) + 2 if row.type == "histogram" else 1)
