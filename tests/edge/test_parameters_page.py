"""`docs/parameters.md` is what the code says, and every row of it is tested."""

from __future__ import annotations

import pytest

from router.edge.parameters.table import PARAMETERS, Owner, Parameter
from tests.edge.parameter_rows import SAMPLES
from tests.edge.parameters_page import PAGE, ROOT, ROWS, page, spoken, where_tested


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.edge.parameters_page > docs/parameters.md"


@pytest.mark.parametrize("row", PARAMETERS, ids=lambda row: row.name)
def test_every_row_has_a_test(row: Parameter) -> None:
    for test in where_tested(row):
        text = (ROOT / test).read_text(encoding="utf-8")
        named = row.name in text or (test == ROWS and "chat" in row.kinds and row.name in SAMPLES)
        assert named, f"{test} says nothing of {row.name}"


def test_every_dialect_has_an_entry_for_every_row() -> None:
    rows = {row.name for row in PARAMETERS if row.owner is Owner.UPSTREAM and "chat" in row.kinds}
    for title, support in spoken().items():
        assert set(support) == rows, title
