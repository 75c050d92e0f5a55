"""Chat completions: content, JSON and tool calls."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import orjson

from router.dialects.mock.behaviour import Behaviour
from router.dialects.mock.completions import Choice, Completion, choice_count, token_limit
from router.dialects.mock.schema import sample
from router.dialects.mock.text import content_text, cut, reply_text


def chat(body: Mapping[str, Any], behaviour: Behaviour, rng: Random, created: int, *, empty: bool) -> Completion:
    """The reply to a chat-completions body."""
    model = str(body["model"])
    messages = [message for message in body["messages"] if isinstance(message, dict)]
    words = sum(len(content_text(message.get("content")).split()) for message in messages)
    reply_id = f"chatcmpl-{rng.getrandbits(96):024x}"
    choices = [_choice(body, messages, model, behaviour, rng, empty) for _ in range(choice_count(body))]
    return Completion(reply_id, created, model, choices, max(words, 1))


def _choice(
    body: Mapping[str, Any],
    messages: list[dict[str, Any]],
    model: str,
    behaviour: Behaviour,
    rng: Random,
    empty: bool,
) -> Choice:
    if empty:
        return Choice([], "stop")
    limit = token_limit(body)
    function = _forced_function(body)
    if function is not None:
        arguments = orjson.dumps(sample(function.get("parameters") or {})).decode()
        pieces, finish = cut(arguments, None, limit)
        call = (f"call_{rng.getrandbits(96):024x}", str(function.get("name", "")))
        return Choice(pieces, "tool_calls" if finish == "stop" else finish, call)
    asked = next((content_text(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), "")
    text = reply_text(behaviour, model, asked)
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema"):
        named = wanted.get("json_schema") if wanted["type"] == "json_schema" else None
        value = sample(named.get("schema")) if isinstance(named, dict) else {"reply": text}
        text = orjson.dumps(value).decode()
    pieces, finish = cut(text, body.get("stop"), limit)
    return Choice(pieces, finish)


def _forced_function(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The function that `tool_choice` demands: by name, or the first one for `required`."""
    tools = body.get("tools")
    wanted = body.get("tool_choice")
    if not isinstance(tools, list) or not tools:
        return None
    functions = [
        tool["function"] for tool in tools if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    ]
    if wanted == "required":
        return functions[0] if functions else None
    if isinstance(wanted, dict) and isinstance(wanted.get("function"), dict):
        name = wanted["function"].get("name")
        return next((function for function in functions if function.get("name") == name), None)
    return None


class ChatShape:
    """`chat.completion` and its chunks."""

    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def choice(self, index: int, choice: Choice) -> dict[str, Any]:
        text = "".join(choice.pieces)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if choice.tool is not None:
            call_id, name = choice.tool
            call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}
            message = {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": choice.finish}

    def opening(self, choice: Choice) -> bytes | None:
        delta = b'{"role":"assistant","content":"","refusal":null}'
        if choice.tool is not None:
            call_id, name = choice.tool
            call = {"index": 0, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
            delta = b'{"role":"assistant","content":null,"tool_calls":[%b],"refusal":null}' % orjson.dumps(call)
        return b'"delta":%b,"logprobs":null,"finish_reason":null' % delta

    def content(self, choice: Choice, piece: str) -> bytes:
        text = orjson.dumps(piece)
        if choice.tool is not None:
            call = b'"tool_calls":[{"index":0,"function":{"arguments":%b}}]' % text
            return b'"delta":{%b},"logprobs":null,"finish_reason":null' % call
        return b'"delta":{"content":%b},"logprobs":null,"finish_reason":null' % text

    def closing(self, choice: Choice) -> bytes:
        return b'"delta":{},"logprobs":null,"finish_reason":%b' % orjson.dumps(choice.finish)
