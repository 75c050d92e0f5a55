"""What the mock provider says, and how it counts words."""

from __future__ import annotations

import re

from router.dialects.mock.behaviour import Behaviour

_WORD = re.compile(r"\s*\S+")
_ECHOED_WORDS = 12
_FILLER = ("A", "mock", "provider", "wrote", "this,", "so", "no", "real", "model", "was", "asked.")


def count_tokens(text: str) -> int:
    """Words between white space, at least 1."""
    return len(text.split()) or 1


def split_tokens(text: str) -> list[str]:
    """The text in pieces of one word each, white space kept: joined they are the text again."""
    pieces = _WORD.findall(text)
    if pieces:
        pieces[-1] += text[len(text.rstrip()) :]
    return pieces


def content_text(content: object) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return ""


def reply_text(behaviour: Behaviour, model: str, asked: str) -> str:
    """The configured reply, or one that names the model and echoes the start of `asked`; then cut or drawn out to
    `output_tokens` words."""
    text = behaviour.reply
    if not text:
        words = asked.split(None, _ECHOED_WORDS)
        echo = " ".join(words[:_ECHOED_WORDS]) + (" …" if len(words) > _ECHOED_WORDS else "")
        text = f"Hello from {model}! You said: {echo}" if echo else f"Hello from {model}!"
    if behaviour.output_tokens:
        pieces = split_tokens(text)
        missing = behaviour.output_tokens - len(pieces)
        if missing > 0:
            pieces += [" " + _FILLER[i % len(_FILLER)] for i in range(missing)]
        text = "".join(pieces[: behaviour.output_tokens])
    return text


def cut(text: str, stop: object, limit: int | None) -> tuple[list[str], str]:
    """The text's tokens up to the first stop string and `limit` tokens, and the finish reason: `stop` or `length`."""
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    found = [at for at in (text.find(s) for s in stops if isinstance(s, str) and s) if at >= 0]
    pieces = split_tokens(text[: min(found)] if found else text)
    if limit is not None and len(pieces) > limit:
        return pieces[:limit], "length"
    return pieces, "stop"


def as_inputs(value: object) -> list[tuple[str, int]]:
    """A `prompt` or `input` (string, list of strings, list of token numbers, list of such lists) as texts, each with
    its count of tokens."""
    if isinstance(value, list) and value and not isinstance(value[0], int):
        return [_as_input(item) for item in value]
    return [_as_input(value)]


def _as_input(value: object) -> tuple[str, int]:
    if isinstance(value, list):
        return " ".join(map(str, value)), len(value) or 1
    text = value if isinstance(value, str) else ""
    return text, count_tokens(text)
