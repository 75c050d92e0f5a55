"""Token estimates that cost next to nothing: from the length of the body, but for what is no text in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.core.images import images_in
from router.core.types import Deployment, Estimate

BYTES_PER_TOKEN = 4.0
"""English prose and code in JSON come to about this; CJK to less, so it errs towards too many bytes per token. What a
model's replies report corrects it, see `Snapshot.prompt_tokens`."""
DEFAULT_OUTPUT_TOKENS = 256
AUDIO_BYTES_PER_TOKEN = 4000.0
"""Of base64: ten tokens a second, as OpenAI counts speech, of uncompressed sound at 24 kHz; compressed sound has fewer
bytes, and so more tokens for them than this says."""


def max_output(body: Mapping[str, Any]) -> int | None:
    """The most output tokens a request allows; None where it does not say."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return limit if isinstance(limit, int) else None


def estimate(body_bytes: int, limit: int | None) -> Estimate:
    """Expected tokens of a request whose JSON has `body_bytes` bytes; output as `limit` says, else a usual length."""
    return Estimate(int(body_bytes / BYTES_PER_TOKEN), DEFAULT_OUTPUT_TOKENS if limit is None else limit)


def measure(
    raw: bytes, body: Mapping[str, Any], limit: int | None, deployment: Deployment | None
) -> tuple[Estimate, int | None]:
    """The estimate of a request, and more tokens than prompt and wanted output (at most `limit`) can come to; None
    where who knows.

    No tokenizer makes more tokens than there are bytes of UTF-8, and JSON's own letters outnumber the few tokens that a
    message costs besides its text. Images are counted by the rules of the provider of `deployment`.
    """
    length = len(raw)
    messages = body.get("messages")
    if type(messages) is not list or not _has_parts(messages):
        return estimate(length, limit), length + (limit or 0)
    media = images_in(messages, deployment)
    text = estimate(max(length - media.image_bytes - media.other_bytes, 0), limit)
    heard = int(media.other_bytes / AUDIO_BYTES_PER_TOKEN)
    expected = Estimate(text.prompt_tokens + media.image_tokens + heard, text.output_tokens)
    if media.other_bytes or media.unsized:
        return expected, None
    return expected, length + media.image_tokens + (limit or 0)


def _has_parts(messages: list[Any]) -> bool:
    """Whether some message is made of parts, which may be no text."""
    for message in messages:  # noqa: SIM110 - on every request's way, and any() costs twice as much
        if type(message) is dict and type(message.get("content")) is list:
            return True
    return False
