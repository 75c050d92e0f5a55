"""The record of a request."""

from __future__ import annotations

import pytest

from router.core.events import Finished


@pytest.mark.interpreted
def test_a_copied_record_says_the_same_and_is_another() -> None:
    record = Finished("req-1", "chat")
    for number, name in enumerate(Finished.__slots__):
        setattr(record, name, f"fact {number}")
    other = record.copied()
    assert all(getattr(other, name) == getattr(record, name) for name in Finished.__slots__)
    other.status = 503
    assert record.status != other.status
