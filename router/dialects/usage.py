"""OpenAI's `usage` object, and what a reply without one says of its length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.core.tokens import BYTES_PER_TOKEN
from router.core.types import Usage


def read_usage(document: Any) -> Usage | None:
    """The token counts of a `usage` object; None where it is none. A part is never more than its whole."""
    if not isinstance(document, dict):
        return None
    prompt, completion = document.get("prompt_tokens"), document.get("completion_tokens") or 0
    if not (isinstance(prompt, int) and isinstance(completion, int) and prompt >= 0 and completion >= 0):
        return None
    of_prompt, of_completion = document.get("prompt_tokens_details"), document.get("completion_tokens_details")
    if not of_prompt and not of_completion:
        return Usage(prompt, completion)
    return Usage(
        prompt,
        completion,
        _part(of_prompt, "cached_tokens", prompt),
        0,
        _part(of_prompt, "audio_tokens", prompt),
        _part(of_completion, "reasoning_tokens", completion),
        _part(of_completion, "audio_tokens", completion),
    )


def document(usage: Usage) -> dict[str, object]:
    """OpenAI's `usage` object; one that was estimated says so."""
    told: dict[str, object] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.estimated:
        told["estimated"] = True
    return told


def tokens_of(size: int) -> int:
    """Estimated tokens of a text of `size` bytes."""
    return -(-size // int(BYTES_PER_TOKEN))


def text_bytes(document: Mapping[str, Any]) -> int:
    """The bytes of text, reasoning and tool calls in a whole reply of chat or text completions."""
    choices = document.get("choices")
    return sum(_bytes_of(choice) for choice in choices) if isinstance(choices, list) else 0


def _bytes_of(choice: Any) -> int:
    if not isinstance(choice, dict):
        return 0
    message = choice.get("message")
    parts = [choice.get("text")]
    if isinstance(message, dict):
        parts += [message.get(name) for name in ("content", "reasoning_content", "refusal")]
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                parts += [function.get("name"), function.get("arguments")]
    return sum(len(part.encode("utf-8", "surrogatepass")) for part in parts if isinstance(part, str))


def _part(details: Any, name: str, whole: int) -> int:
    tokens = details.get(name) if isinstance(details, dict) else None
    return min(max(tokens, 0), whole) if isinstance(tokens, int) else 0
