"""Prompts and replies as OpenTelemetry's `gen_ai.input.messages` and `gen_ai.output.messages`: messages, as JSON.

Only for traces that are to have them; see `telemetry.tracing.content`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

_DATA = b"data: "


def asked(body: bytes) -> str:
    """A request's messages, or its prompt or input as one message of the user's."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "[]"
    messages = request.get("messages")
    if not isinstance(messages, list):
        text = request.get("prompt", request.get("input", ""))
        return _dump([_message("user", text)])
    return _dump(
        [_message(str(each.get("role", "")), each.get("content")) for each in messages if isinstance(each, dict)]
    )


def answered(sent: bytes) -> str:
    """What the client was sent: a whole reply, or the pieces of a stream put together, cut short where it was long."""
    texts: dict[int, list[str]] = {}
    for reply in _replies(sent):
        for choice in reply.get("choices") or ():
            said = choice.get("message") or choice.get("delta") or choice
            text = said.get("content", said.get("text"))
            if isinstance(text, str):
                texts.setdefault(choice.get("index", 0), []).append(text)
    return _dump([_message("assistant", "".join(pieces)) for _, pieces in sorted(texts.items())])


def _replies(sent: bytes) -> Iterator[Mapping[str, Any]]:
    for line in sent.split(b"\n") if sent.startswith((_DATA, b":")) else (sent,):
        try:
            reply = orjson.loads(line.removeprefix(_DATA))
        except orjson.JSONDecodeError:  # `[DONE]`, an empty line, or the cut
            continue
        if isinstance(reply, dict):
            yield reply


def _message(role: str, content: object) -> dict[str, object]:
    parts = content if isinstance(content, list) else [{"type": "text", "content": content}]
    return {"role": role, "parts": parts}


def _dump(messages: list[dict[str, object]]) -> str:
    return orjson.dumps(messages).decode()
