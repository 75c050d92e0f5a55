"""Token estimates that cost nothing: from the length of the body alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.core.types import Estimate

BYTES_PER_TOKEN = 4.0
"""English prose and code in JSON come to about this; CJK to less, so it errs towards too many bytes per token."""
DEFAULT_OUTPUT_TOKENS = 256


def max_output(body: Mapping[str, Any]) -> int | None:
    """The most output tokens a request allows; None where it does not say."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return limit if isinstance(limit, int) else None


def estimate(body_bytes: int, most: int | None) -> Estimate:
    """Expected tokens of a request whose JSON has `body_bytes` bytes; output as much as it allows, else a usual
    length."""
    return Estimate(int(body_bytes / BYTES_PER_TOKEN), DEFAULT_OUTPUT_TOKENS if most is None else most)
