"""vLLM knows tools only: functions become tools, and their calls functions again."""

from __future__ import annotations

from typing import Any

import orjson

from router.core.types import Usage
from router.dialects.base import InferenceRequest
from router.dialects.vllm import VLLMDialect
from tests.core.making import deployment

FUNCTION = {"name": "weather", "parameters": {"type": "object"}}
PLACE = deployment("d", model="up", api_base="http://u.test/v1")


def request(**body: Any) -> InferenceRequest:
    told = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | body
    return InferenceRequest("chat", "req-1", orjson.dumps(told), told, bool(told.get("stream")))


def sent(**body: Any) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(VLLMDialect().encode(request(**body), PLACE, "").body)
    return found


def test_functions_become_tools_and_a_call_a_choice() -> None:
    told = sent(functions=[FUNCTION], function_call={"name": "weather"})
    assert told["tools"] == [{"type": "function", "function": FUNCTION}]
    assert told["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert told["parallel_tool_calls"] is False
    assert told.keys().isdisjoint({"functions", "function_call"})
    assert sent(functions=[FUNCTION], function_call="auto")["tool_choice"] == "auto"
    assert "tool_choice" not in sent(functions=[FUNCTION])


def test_calls_and_answers_in_the_conversation_are_tied_together() -> None:
    call = {"name": "weather", "arguments": "{}"}
    told = sent(
        functions=[FUNCTION],
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "function_call": call},
            {"role": "function", "name": "weather", "content": "rain"},
        ],
    )
    assert told["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]


def test_without_functions_everything_passes_byte_by_byte() -> None:
    asked = request(tools=[{"type": "function", "function": FUNCTION}])
    assert VLLMDialect().encode(asked, PLACE, "").body == asked.raw.replace(b'"m"', b'"up"', 1)
    body = b'{"choices":[{"index":0,"message":{"tool_calls":[]},"finish_reason":"tool_calls"}]}'
    assert VLLMDialect().reply(asked, {}, body).body == body


CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}


def test_a_call_comes_back_as_that_of_a_function() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    body = {
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    reply = VLLMDialect().reply(request(functions=[FUNCTION]), {}, orjson.dumps(body))
    (choice,) = orjson.loads(reply.body)["choices"]
    assert choice["message"] == {"role": "assistant", "content": None, "function_call": CALL["function"]}
    assert choice["finish_reason"] == "function_call"
    assert reply.usage == Usage(1, 2)


def frame(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + orjson.dumps({"id": "x", "choices": [choice]}) + b"\n\n"


def test_a_streamed_call_comes_back_piece_by_piece() -> None:
    pieces = [
        frame({"role": "assistant", "content": None}),
        frame({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "weather"}}]}),
        frame({"tool_calls": [{"index": 0, "function": {"name": None, "arguments": "{}"}}]}),
        frame({}, "tool_calls"),
        b"data: [DONE]\n\n",
    ]
    decoder = VLLMDialect().decoder(request(functions=[FUNCTION], stream=True), {})
    told = b"".join(decoder.feed(piece) for piece in pieces) + decoder.end()
    events = [event.removeprefix(b"data: ") for event in told.split(b"\n\n") if event]
    choices = [orjson.loads(event)["choices"][0] for event in events[:-1]]
    assert [choice["delta"].get("function_call") for choice in choices] == [
        None, {"name": "weather"}, {"arguments": "{}"}, None,
    ]  # fmt: skip
    assert choices[-1]["finish_reason"] == "function_call"
    assert events[-1] == b"[DONE]"
    assert (decoder.started, decoder.finished) == (True, True)
