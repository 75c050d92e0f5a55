"""Requests that are over, for tests."""

from __future__ import annotations

from typing import Any

from router.core.events import Finished
from router.core.types import Kind


def record_of(request_id: str, kind: Kind | str, **facts: Any) -> Finished:
    """The record of one, with these of its attributes set."""
    record = Finished(request_id, kind)
    for name, value in facts.items():
        setattr(record, name, value)
    return record
