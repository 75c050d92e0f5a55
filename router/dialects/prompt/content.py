"""A conversation as roles and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from router.core.errors import FailureKind
from router.dialects.failures import unsupported

_TEXTS = {"text": "text", "refusal": "refusal"}
"""The parts of a content that are text, and where it stands in them."""


class Turn(NamedTuple):
    role: str
    text: str


def turns(messages: Sequence[Mapping[str, Any]], *, drop: bool = False) -> list[Turn]:
    """The messages' roles and texts; parts of one content are joined without anything between.

    Raises UpstreamFailure (a 400 naming `messages`) for what is no text: images, audio, files, and calls of tools.
    `drop`: leave those calls out.
    """
    return [Turn(_role(message), _text(message, drop)) for message in messages]


def _role(message: Mapping[str, Any]) -> str:
    role = message.get("role")
    if not isinstance(role, str) or not role:
        raise unsupported("messages", "every message needs a `role`", FailureKind.REJECTED)
    return "system" if role == "developer" else role


def _text(message: Mapping[str, Any], drop: bool) -> str:
    if not drop and (message.get("tool_calls") or message.get("function_call")):
        raise unsupported("messages", "this model is given its conversation as text, which cannot hold calls of tools")
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise unsupported("messages", "a message's `content` must be a string or an array", FailureKind.REJECTED)
    return "".join(map(_part, content))


def _part(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in _TEXTS:
        shown = kind if isinstance(kind, str) and len(kind) < 40 else "unknown"
        raise unsupported("messages", f"this model reads text only; a content part is of type {shown}")
    text = part.get(_TEXTS[kind])
    if not isinstance(text, str):
        raise unsupported("messages", f"a content part of type {kind} has no text", FailureKind.REJECTED)
    return text
