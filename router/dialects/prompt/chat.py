"""Text completions turned back into chat completions: documents, and the events of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def whole(document: Mapping[str, Any], usage: Mapping[str, object]) -> dict[str, Any]:
    """`chat.completion` from `text_completion`. What else upstream told stays."""
    return {
        **document,
        "id": chat_id(document.get("id")),
        "object": "chat.completion",
        "choices": [_choice(choice) for choice in document["choices"]],
        "usage": usage,
    }


def chat_id(id: Any) -> str:
    """`cmpl-1` becomes `chatcmpl-1`."""
    text = str(id or "cmpl")
    return f"chat{text}" if text.startswith("cmpl") else text


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "index": choice.get("index", 0),
        "message": {"role": "assistant", "content": choice.get("text") or "", "refusal": None},
        "logprobs": logprobs(choice.get("logprobs")),
        "finish_reason": choice.get("finish_reason") or "stop",
    }


def logprobs(told: Any) -> dict[str, Any] | None:
    """A chat completion's form of a text completion's `logprobs`; None where there are none."""
    if not isinstance(told, dict) or not isinstance(told.get("tokens"), list):
        return None
    tokens, values, others = told["tokens"], told.get("token_logprobs") or [], told.get("top_logprobs") or []
    content = []
    for index, token in enumerate(tokens):
        top = others[index] if index < len(others) and isinstance(others[index], dict) else {}
        value = values[index] if index < len(values) else None
        content.append(_token(token, value) | {"top_logprobs": [_token(*item) for item in top.items()]})
    return {"content": content, "refusal": None}


def _token(token: Any, logprob: Any) -> dict[str, Any]:
    text = str(token)
    return {"token": text, "logprob": -9999.0 if logprob is None else logprob, "bytes": list(text.encode())}


def chunks(event: Mapping[str, Any], begun: set[int]) -> list[dict[str, Any]]:
    """`chat.completion.chunk`s from one `text_completion` event; `begun` are the choices whose role has been told."""
    made = []
    for choice in event["choices"]:
        index = choice.get("index", 0)
        delta: dict[str, Any] = {}
        if index not in begun:
            begun.add(index)
            delta["role"] = "assistant"
        text = choice.get("text") or ""
        finish = choice.get("finish_reason")
        if text or "role" in delta:
            delta["content"] = text
        if delta or finish:
            shown = {"index": index, "delta": delta, "logprobs": logprobs(choice.get("logprobs")),
                     "finish_reason": finish}  # fmt: skip
            made.append(_chunk(event, [shown]))
    return made


def usage_chunk(event: Mapping[str, Any], usage: Mapping[str, object]) -> dict[str, Any]:
    """The last event before `[DONE]`, for those who asked for it."""
    return _chunk(event, []) | {"usage": usage}


def _chunk(event: Mapping[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    rest = {name: value for name, value in event.items() if name not in ("usage", "choices")}
    return rest | {"id": chat_id(event.get("id")), "object": "chat.completion.chunk", "choices": choices}
