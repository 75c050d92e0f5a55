"""What images cost in tokens, by the rules that their providers publish.

OpenAI: tiles of 512 pixels after scaling (gpt-4o, gpt-4.1, o1, o3, gpt-5), or patches of 32 (the mini and nano models
of 4.1 and later, o4-mini): platform.openai.com/docs/guides/images-vision. Anthropic: width · height / 750, at most
1,568 pixels a side: docs.anthropic.com/en/docs/build-with-claude/vision. Gemini: 258 up to 384 pixels a side, else 258
a tile of 768: ai.google.dev/gemini-api/docs/tokens.
"""

from __future__ import annotations

from base64 import b64decode
from math import ceil, sqrt
from typing import Any, NamedTuple

from router.core.types import Deployment

USUAL = (1024, 1024)
"""Pixels of an image whose size is not known, as of one that stands somewhere else."""
_HEAD = 65_536
"""Letters of base64 looked at: a JPEG's size stands behind its thumbnail."""
_PATCHES = (("gpt-4.1-mini", 1.62), ("gpt-4.1-nano", 2.46), ("o4-mini", 1.72), ("gpt-5-mini", 1.62),
            ("gpt-5-nano", 2.46))  # fmt: skip
_TILES = (("gpt-4o-mini", 2833, 5667), ("gpt-5", 70, 140), ("o1", 75, 150), ("o3", 75, 150))
_MOST_PATCHES = 1536


class Media(NamedTuple):
    """What is no text in some messages: bytes of JSON that images take, their tokens, and bytes that others take.
    `unsized`: of some image nobody knows how large it is."""

    image_bytes: int
    image_tokens: int
    other_bytes: int
    unsized: bool


def images_in(messages: Any, deployment: Deployment | None) -> Media:
    taken = tokens = others = 0
    unsized = False
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict):
                continue
            kind = part.get("type")
            if kind == "image_url":
                image = part.get("image_url")
                url = image.get("url") if isinstance(image, dict) else image
                detail = image.get("detail") if isinstance(image, dict) else None
                if isinstance(url, str):
                    size = size_of(url)
                    unsized = unsized or size is None
                    taken += len(url)
                    tokens += image_tokens(size or USUAL, str(detail or "auto"), deployment)
            elif kind in ("input_audio", "file"):
                inner = part.get(kind)
                values = inner.values() if isinstance(inner, dict) else ()
                others += sum(len(value) for value in values if isinstance(value, str))
    return Media(taken, tokens, others, unsized)


def image_tokens(size: tuple[int, int], detail: str, deployment: Deployment | None) -> int:
    """Of one image of `size` (width, height in pixels)."""
    width, height = max(size[0], 1), max(size[1], 1)
    provider = "" if deployment is None else deployment.provider
    model = "" if deployment is None else (deployment.base_model or deployment.model).lower()
    if provider == "anthropic" or "claude" in model:
        scale = min(1.0, 1568 / max(width, height))
        return ceil(width * scale * height * scale / 750)
    if provider in ("gemini", "vertex") or "gemini" in model:
        return 258 if max(width, height) <= 384 else 258 * ceil(width / 768) * ceil(height / 768)
    for name, factor in _PATCHES:
        if model.startswith(name):
            return ceil(_patches(width, height) * factor)
    base, tile = next(((base, tile) for name, base, tile in _TILES if model.startswith(name)), (85, 170))
    if detail == "low":
        return base
    scale = min(1.0, 2048 / max(width, height))
    width, height = int(width * scale) or 1, int(height * scale) or 1
    scale = min(1.0, 768 / min(width, height))
    return base + tile * ceil(int(width * scale) / 512) * ceil(int(height * scale) / 512)


def size_of(url: str) -> tuple[int, int] | None:
    """Width and height of an image in a `data:` URL; None where they cannot be read."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    start = data[:_HEAD]
    try:
        raw = b64decode(start[: len(start) // 4 * 4])
    except ValueError:
        return None
    if raw.startswith(b"\x89PNG\r\n\x1a\n") and len(raw) >= 24:
        return int.from_bytes(raw[16:20]), int.from_bytes(raw[20:24])
    if raw.startswith((b"GIF87a", b"GIF89a")) and len(raw) >= 10:
        return int.from_bytes(raw[6:8], "little"), int.from_bytes(raw[8:10], "little")
    if raw.startswith(b"RIFF") and raw[8:16] == b"WEBPVP8X" and len(raw) >= 30:
        return int.from_bytes(raw[24:27], "little") + 1, int.from_bytes(raw[27:30], "little") + 1
    return _jpeg_size(raw) if raw.startswith(b"\xff\xd8") else None


def _jpeg_size(raw: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(raw) and raw[place] == 0xFF:
        marker = raw[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(raw[place + 7 : place + 9]), int.from_bytes(raw[place + 5 : place + 7])
        place += 2 + int.from_bytes(raw[place + 2 : place + 4])
    return None


def _patches(width: int, height: int) -> int:
    patches = ceil(width / 32) * ceil(height / 32)
    if patches <= _MOST_PATCHES:
        return patches
    shrink = sqrt(_MOST_PATCHES * 32 * 32 / (width * height))
    return min(ceil(width * shrink / 32) * ceil(height * shrink / 32), _MOST_PATCHES)
