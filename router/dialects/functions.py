"""The deprecated `functions` and `function_call` in terms of tools, for servers that know tools only; and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from router.dialects.failures import UNREADABLE, unreadable
from router.dialects.sse import payload
from router.dialects.turned import TurnedStream


def asks_for_functions(body: Mapping[str, Any]) -> bool:
    return bool(body.get("functions"))


def with_tools(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with its functions as tools. A call and its answer, the next message, get an id in common."""
    made = {name: value for name, value in body.items() if name not in ("functions", "function_call")}
    made["tools"] = [
        *(body.get("tools") or ()),
        *({"type": "function", "function": item} for item in body["functions"]),
    ]
    choice = body.get("function_call")
    if isinstance(choice, dict):
        choice = {"type": "function", "function": choice}
    if choice is not None:
        made["tool_choice"] = choice
    made["parallel_tool_calls"] = False
    made["messages"] = _messages(body["messages"])
    return made


def _messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    made = []
    calls = 0
    for message in messages:
        called = message.get("function_call")
        if called is not None:
            calls += 1
            rest = {name: value for name, value in message.items() if name != "function_call"}
            message = rest | {"tool_calls": [{"id": f"call_{calls}", "type": "function", "function": called}]}
        elif message.get("role") == "function":
            message = {"role": "tool", "tool_call_id": f"call_{calls}", "content": message.get("content")}
        made.append(message)
    return made


def without_tools(document: dict[str, Any]) -> dict[str, Any]:
    """A chat completion whose calls of tools are one call of a function. Raises UpstreamFailure where it is none."""
    try:
        return {**document, "choices": [_choice(choice, "message") for choice in document.get("choices") or ()]}
    except UNREADABLE:
        raise unreadable("a chat completion") from None


class FunctionStream(TurnedStream):
    """The same for the events of `inner`."""

    __slots__ = ()

    def _turned(self, frames: bytes) -> bytes:
        inner = self._inner
        self.started, self.finished, self.failure, self.usage = (
            inner.started, inner.finished, inner.failure, inner.usage
        )  # fmt: skip
        try:
            return b"".join([_event(event) for event in frames.split(b"\n\n") if event])
        except UNREADABLE:
            self.failure = self.failure or unreadable("an event")
            return b""


def _event(event: bytes) -> bytes:
    text = payload(event)
    if text.startswith(b"{") and (b'"tool_calls"' in text):
        chunk = orjson.loads(text)
        chunk["choices"] = [_choice(choice, "delta") for choice in chunk.get("choices") or ()]
        text = orjson.dumps(chunk)
    return b"data: " + text + b"\n\n"


def _choice(choice: dict[str, Any], place: str) -> dict[str, Any]:
    told = choice.get(place) or {}
    calls = told.get("tool_calls")
    made = {name: value for name, value in told.items() if name != "tool_calls"}
    if calls:
        function = calls[0].get("function") or {}
        made["function_call"] = {name: value for name, value in function.items() if value is not None}
    finish = choice.get("finish_reason")
    return {**choice, place: made, "finish_reason": "function_call" if finish == "tool_calls" else finish}
