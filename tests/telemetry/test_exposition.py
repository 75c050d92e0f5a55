"""The text format is written by hand, so it is compared with what the library writes and with what promtool says."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Counter as TheirCounter
from prometheus_client import Histogram as TheirHistogram

from router.telemetry.cells import Family, Snapshot, empty
from router.telemetry.exposition import expose, in_slices, render
from router.telemetry.table import ROWS
from tests.telemetry.scraping import of, samples, shown, value

WAIT = "router_queue_wait_seconds"
LEFT = "router_queue_left_total"
ODD = ['a"b\\c\nd é', "", "\\", '"', "x" * 1000, "gpt-4o", "openai/*", "a,b=c{}"]


def everything() -> Snapshot:
    """One cell of every metric."""
    return {name: {tuple(f"{label}-1" for label in row.labels): empty(row)} for name, row in ROWS.items()}


@given(st.lists(st.tuples(st.sampled_from(ODD), st.floats(0.0, 1e6)), max_size=30))
def test_a_histogram_says_what_the_librarys_says(observations: list[tuple[str, float]]) -> None:
    ours, registry = Family(WAIT), CollectorRegistry()
    theirs = TheirHistogram(WAIT, "help", ("model",), buckets=ours.bounds, registry=registry)
    for model, observed in observations:
        ours.observe((model,), observed)
        theirs.labels(model).observe(observed)
    expected = samples(generate_latest(registry).decode())
    expected = {place: each for place, each in expected.items() if not place[0].endswith("_created")}
    found = shown(ours)
    assert set(found) == set(expected)
    assert all(found[place] == pytest.approx(each) for place, each in expected.items())


@pytest.mark.parametrize("odd", ODD)
def test_a_counter_says_what_the_librarys_says_whatever_its_labels(odd: str) -> None:
    ours, registry = Family(LEFT), CollectorRegistry()
    theirs = TheirCounter(LEFT, "help", ("model", "outcome"), registry=registry)
    ours.add((odd, "served"), 2.5)
    theirs.labels(odd, "served").inc(2.5)
    found = shown(ours)
    assert value(found, LEFT, model=odd, outcome="served") == 2.5
    assert found.items() <= samples(generate_latest(registry).decode()).items()


def test_a_line_is_as_prometheus_itself_would_write_it() -> None:
    family = Family(LEFT)
    family.add(("gpt", "served"))
    assert "".join(render({LEFT: family.cells})).splitlines()[1:] == [
        f"# TYPE {LEFT} counter",
        f'{LEFT}{{model="gpt",outcome="served"}} 1.0',
    ]


def test_metrics_stand_in_the_tables_order_and_the_empty_ones_not_at_all() -> None:
    text = "".join(render({name: {} for name in ROWS} | {WAIT: {}, LEFT: {("gpt", "served"): [1.0]}}))
    assert text.count("# TYPE") == 1
    types = [line.split()[2] for line in "".join(render(everything())).splitlines() if line.startswith("# TYPE")]
    assert types == list(ROWS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_promtool_finds_nothing_amiss() -> None:
    text = "".join(render(everything()))
    told = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (told.stderr, told.returncode) == ("", 0)


async def test_the_text_in_slices_is_the_text() -> None:
    assert (await expose(everything())).decode() == "".join(render(everything()))
    assert of(everything())


async def test_nothing_is_left_out_between_two_slices() -> None:
    taken: list[int] = []
    await in_slices(range(100_000), taken.append)
    assert taken == list(range(100_000))
