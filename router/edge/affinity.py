"""What requests that belong together have in common, so that they find the same prompt cache again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

HEADER = "X-Router-Affinity"
PROMPT_BYTES = 4096
"""Providers cache nothing shorter; and what follows differs from request to request."""


def affinity_of(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """The header's word, else the body's `prompt_cache_key`, else its `user`, else its tools and the first 4 KB of its
    prompt."""
    for given in (headers.get(HEADER), body.get("prompt_cache_key"), body.get("user")):
        if given and isinstance(given, str):
            return given
    tools = body.get("tools")
    start = _start(body.get("messages") or body.get("prompt") or body.get("input"))
    return ((orjson.dumps(tools) if tools else b"") + start).decode("utf-8", "replace")


def _start(prompt: Any) -> bytes:
    """The first bytes of a prompt, with no more of it written out than that takes."""
    start = b""
    for part in prompt if isinstance(prompt, list) else [prompt]:
        start += _cut(part)
        if len(start) >= PROMPT_BYTES:
            break
    return start[:PROMPT_BYTES]


def _cut(part: Any) -> bytes:
    if isinstance(part, str):
        return part[:PROMPT_BYTES].encode("utf-8", "surrogatepass")
    if isinstance(part, dict) and isinstance(part.get("content"), str):
        return f"\n{part.get('role')}: ".encode("utf-8", "surrogatepass") + _cut(part["content"])
    return orjson.dumps(part)[:PROMPT_BYTES]
