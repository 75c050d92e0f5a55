from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as TheirHistogram

from router.telemetry.cells import Counter, Histogram
from tests.telemetry.scraping import exposed, samples, value

BOUNDS = (0.1, 1.0, 10.0)


def buckets(histogram: Histogram, **labels: str) -> list[float | None]:
    found = samples(exposed(histogram.family()))
    return [value(found, f"{histogram.name}_bucket", le=le, **labels) for le in ("0.1", "1.0", "10.0", "+Inf")]


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (0.0, [1, 1, 1, 1]),
        (0.1, [1, 1, 1, 1]),  # a bucket holds its own bound
        (0.1000001, [0, 1, 1, 1]),
        (1.0, [0, 1, 1, 1]),
        (9.9, [0, 0, 1, 1]),
        (10.0, [0, 0, 1, 1]),
        (10.1, [0, 0, 0, 1]),
        (1e9, [0, 0, 0, 1]),
    ],
)
def test_an_observation_is_in_every_bucket_that_bounds_it(observed: float, expected: list[float]) -> None:
    histogram = Histogram("h", "help", (), BOUNDS)
    histogram.observe((), observed)
    assert buckets(histogram) == expected


def test_sum_and_count_are_those_of_the_observations() -> None:
    histogram = Histogram("h", "help", ("model",), BOUNDS)
    for observed in (0.05, 0.5, 20.0):
        histogram.observe(("gpt",), observed)
    histogram.observe(("other",), 7.0)
    found = samples(exposed(histogram.family()))
    assert value(found, "h_count", model="gpt") == 3
    assert value(found, "h_sum", model="gpt") == pytest.approx(20.55)
    assert value(found, "h_count", model="other") == 1
    assert value(found, "h_sum", model="other") == 7.0


@given(st.lists(st.floats(0.0, 1e6), max_size=30), st.lists(st.floats(0.001, 1e5), min_size=1, max_size=6, unique=True))
def test_it_says_what_prometheus_own_histogram_says(observations: list[float], bounds: list[float]) -> None:
    bounds = sorted(bounds)
    ours = Histogram("h", "help", ("model",), bounds)
    registry = CollectorRegistry()
    theirs = TheirHistogram("h", "help", ("model",), buckets=bounds, registry=registry)
    for observed in observations:
        ours.observe(("gpt",), observed)
        theirs.labels("gpt").observe(observed)
    expected = {place: each for place, each in samples(generate_latest(registry)).items() if place[0] != "h_created"}
    found = samples(exposed(ours.family()))
    if not observations:
        assert found == {}
        return
    assert {name for name, _ in found} == {"h_bucket", "h_sum", "h_count"}
    for (name, labels), expected_value in expected.items():
        plain = dict(labels)
        if "le" in plain and plain["le"] != "+Inf":
            plain["le"] = next(le for le in map(repr, bounds) if float(le) == float(plain["le"]))
        assert value(found, name, **plain) == pytest.approx(expected_value)
    assert len(found) == len(expected)


def test_a_counter_adds_up_by_its_labels() -> None:
    counter = Counter("router_things", "help", ("model", "kind"))
    counter.add(("gpt", "chat"))
    counter.add(("gpt", "chat"), 2.5)
    counter.add(("gpt", "embedding"))
    found = samples(exposed(counter.family()))
    assert value(found, "router_things_total", model="gpt", kind="chat") == 3.5
    assert value(found, "router_things_total", model="gpt", kind="embedding") == 1.0
    assert len(found) == 2


def test_label_values_of_any_kind_survive_the_text_format() -> None:
    counter = Counter("router_things", "help", ("model",))
    odd = 'a"b\\c\nd é'
    counter.add((odd,))
    assert value(samples(exposed(counter.family())), "router_things_total", model=odd) == 1.0


def test_scraping_changes_nothing() -> None:
    histogram = Histogram("h", "help", (), BOUNDS)
    histogram.observe((), 0.5)
    assert buckets(histogram) == buckets(histogram) == [0, 1, 1, 1]
