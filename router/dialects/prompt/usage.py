"""Token counts for replies of upstreams that tell none, or not all."""

from __future__ import annotations

from router.core.tokens import BYTES_PER_TOKEN
from router.core.types import Usage


def tokens_of(size: int) -> int:
    """Estimated tokens of a text of `size` bytes."""
    return -(-size // int(BYTES_PER_TOKEN))


def document(usage: Usage) -> dict[str, object]:
    """OpenAI's `usage` object; one that was estimated says so."""
    found: dict[str, object] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.estimated:
        found["estimated"] = True
    return found
