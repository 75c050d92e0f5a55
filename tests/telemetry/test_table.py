from __future__ import annotations

import re
from pathlib import Path

import pytest

from router.telemetry.page import page
from router.telemetry.table import ROWS, TABLE, Row

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
CONVENTIONS = {
    "gen_ai_client_token_usage", "gen_ai_server_request_duration_seconds", "gen_ai_server_time_to_first_token_seconds",
    "gen_ai_server_time_per_output_token_seconds",
}  # fmt: skip


def test_the_page_is_the_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make docs"


def test_no_name_stands_twice() -> None:
    assert len(ROWS) == sum(map(len, TABLE.values()))


def test_the_four_conventions_are_there() -> None:
    assert {name for name in ROWS if name.startswith("gen_ai_")} == CONVENTIONS


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_a_row_keeps_the_rules_of_names(row: Row) -> None:
    assert re.fullmatch(r"(router|gen_ai|process)_[a-z0-9_]+", row.name)
    assert (row.type == "counter") == row.name.endswith("_total")
    assert (row.type == "histogram") == bool(row.bounds)
    assert list(row.bounds) == sorted(set(row.bounds))
    assert row.help.endswith((".", ")."))
    assert "|" not in row.help
    assert all(re.fullmatch(r"[a-z_]+", label) for label in row.labels)
    assert len(set(row.labels)) == len(row.labels)
    for unit in ("seconds", "bytes"):
        assert (row.unit == unit) == bool(re.search(rf"_{unit}(_total)?$", row.name))


def test_buckets_reach_as_far_as_a_request_may_take() -> None:
    for name in ("gen_ai_server_request_duration_seconds", "router_attempt_duration_seconds"):
        assert ROWS[name].bounds[-1] >= 600.0
