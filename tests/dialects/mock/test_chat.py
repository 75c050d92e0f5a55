"""Chat completions in OpenAI's wire shape."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.dialects.mock.behaviour import Behaviour
from tests.dialects.mock.replying import CREATED, HI, ask, body_of, chat, events_of

WEATHER = {
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 2},
            "unit": {"enum": ["C", "F"]},
            "where": {"$ref": "#/$defs/point"},
            "optional": {"type": "string"},
        },
        "required": ["city", "days", "unit", "where"],
        "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}},
    },
}
TOOLS = [{"type": "function", "function": {"name": "other"}}, {"type": "function", "function": WEATHER}]
NAMED = {"type": "function", "function": {"name": "weather"}}


def test_a_whole_reply_has_openais_shape_names_the_model_and_echoes_the_last_user_message() -> None:
    answer = chat(messages=[{"role": "system", "content": "be brief"}, *HI])
    body = body_of(answer)
    assert body.pop("id").startswith("chatcmpl-")
    assert body == {
        "object": "chat.completion",
        "created": CREATED,
        "model": "gpt-4o",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello from gpt-4o! You said: say hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 4, "completion_tokens": 7, "total_tokens": 11},
        "system_fingerprint": None,
    }
    assert answer.status == 200
    assert answer.length == int(dict(answer.headers)["content-length"]) == sum(len(s.data) for s in answer.sends)


def test_a_stream_opens_with_the_role_and_closes_with_reason_and_done() -> None:
    events = events_of(chat(stream=True))
    assert events.pop() == "[DONE]"
    assert {(e["object"], e["id"], e["created"], e["model"]) for e in events} == {
        ("chat.completion.chunk", events[0]["id"], CREATED, "gpt-4o")
    }
    assert all("usage" not in event for event in events)
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    deltas = [event["choices"][0]["delta"] for event in events[1:-1]]
    assert "".join(delta["content"] for delta in deltas) == "Hello from gpt-4o! You said: say hi"
    assert len(deltas) == 7
    assert events[-1]["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]


def test_usage_is_streamed_in_a_chunk_without_choices_and_only_when_asked_for() -> None:
    events = events_of(chat(stream=True, stream_options={"include_usage": True}))
    assert events[-2]["choices"] == []
    assert events[-2]["usage"] == {"prompt_tokens": 2, "completion_tokens": 7, "total_tokens": 9}
    assert [event["usage"] for event in events[:-2]] == [None] * (len(events) - 2)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("parameters", "said", "reason"),
    [
        ({"max_tokens": 2}, "Hello from", "length"),
        ({"max_completion_tokens": 3}, "Hello from gpt-4o!", "length"),
        ({"max_tokens": 3, "max_completion_tokens": 1}, "Hello", "length"),
        ({"max_tokens": 7}, "Hello from gpt-4o! You said: say hi", "stop"),
        ({"stop": " You"}, "Hello from gpt-4o!", "stop"),
        ({"stop": ["nowhere", "said", "from"]}, "Hello ", "stop"),
        ({"stop": "from", "max_tokens": 5}, "Hello ", "stop"),
        ({"stop": None, "max_tokens": None}, "Hello from gpt-4o! You said: say hi", "stop"),
    ],
)
def test_the_reply_is_cut_where_asked(parameters: dict[str, Any], said: str, reason: str, stream: bool) -> None:
    answer = chat(stream=stream, **parameters)
    if stream:
        chunks = [event["choices"][0] for event in events_of(answer)[:-1]]
        assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == said
        assert chunks[-1]["finish_reason"] == reason
    else:
        body = body_of(answer)
        assert body["choices"][0]["message"]["content"] == said
        assert body["choices"][0]["finish_reason"] == reason
        assert body["usage"]["completion_tokens"] == len(said.split())


@pytest.mark.parametrize(("choice", "name"), [("required", "other"), (NAMED, "weather")])
def test_a_demanded_tool_is_called(choice: object, name: str) -> None:
    body = body_of(chat(tools=TOOLS, tool_choice=choice))
    (only,) = body["choices"]
    assert only["finish_reason"] == "tool_calls"
    assert only["message"]["content"] is None
    (call,) = only["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", name)
    assert call["id"].startswith("call_")
    assert body["usage"]["completion_tokens"] >= 1


def test_a_tools_arguments_have_the_required_properties_and_fit_their_types() -> None:
    body = body_of(chat(tools=TOOLS, tool_choice=NAMED))
    arguments = orjson.loads(body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"city": "mock", "days": 2, "unit": "C", "where": {"x": 1}}


def test_a_streamed_tool_call_gives_id_and_name_first_and_then_the_arguments() -> None:
    chunks = [event["choices"][0] for event in events_of(chat(stream=True, tools=TOOLS, tool_choice=NAMED))[:-1]]
    first = chunks[0]["delta"]
    assert first["role"] == "assistant"
    assert first["content"] is None
    assert first["tool_calls"][0]["function"] == {"name": "weather", "arguments": ""}
    parts = [chunk["delta"]["tool_calls"][0] for chunk in chunks[1:-1]]
    assert {part["index"] for part in parts} == {0}
    assert orjson.loads("".join(part["function"]["arguments"] for part in parts))["days"] == 2
    assert chunks[-1]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_tools_that_are_only_offered_are_not_called(choice: str | None) -> None:
    message = body_of(chat(tools=TOOLS, tool_choice=choice))["choices"][0]["message"]
    assert message["content"]
    assert "tool_calls" not in message


def test_json_is_answered_where_json_is_wanted() -> None:
    plain = body_of(chat(response_format={"type": "json_object"}))
    assert orjson.loads(plain["choices"][0]["message"]["content"]) == {"reply": "Hello from gpt-4o! You said: say hi"}
    wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER["parameters"]}}
    shaped = body_of(chat(response_format=wanted))
    assert orjson.loads(shaped["choices"][0]["message"]["content"])["unit"] == "C"


@pytest.mark.parametrize("stream", [False, True])
def test_n_choices_are_given_and_all_counted(stream: bool) -> None:
    answer = chat(n=3, stream=stream, stream_options={"include_usage": True} if stream else None)
    if stream:
        events = events_of(answer)
        usage = events[-2]["usage"]
        finishes = [c for e in events[:-2] for c in e["choices"] if c["finish_reason"]]
        assert [c["index"] for c in finishes] == [0, 1, 2]
    else:
        usage = body_of(answer)["usage"]
        assert [c["index"] for c in body_of(answer)["choices"]] == [0, 1, 2]
    assert usage["completion_tokens"] == 21


def test_content_parts_are_counted_and_echoed_by_their_text() -> None:
    parts = [{"type": "text", "text": "what is"}, {"type": "image_url", "image_url": {"url": "data:x"}}]
    body = body_of(chat(messages=[{"role": "user", "content": parts}]))
    assert "what is" in body["choices"][0]["message"]["content"]
    assert body["usage"]["prompt_tokens"] == 2


def test_a_long_message_is_echoed_shortened() -> None:
    body = body_of(chat(messages=[{"role": "user", "content": "word " * 500}]))
    assert body["choices"][0]["message"]["content"].endswith("word word …")
    assert body["usage"]["completion_tokens"] < 20


@pytest.mark.parametrize("tokens", [1, 5, 16, 200])
def test_output_tokens_is_the_length_of_the_reply(tokens: int) -> None:
    body = body_of(chat(Behaviour(output_tokens=tokens)))
    assert body["usage"]["completion_tokens"] == tokens == len(body["choices"][0]["message"]["content"].split())


def test_a_configured_reply_keeps_its_white_space() -> None:
    text = " one\n\ntwo  three\t\n"
    body = body_of(chat(Behaviour(reply=text)))
    assert body["choices"][0]["message"]["content"] == text
    assert body["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("raw", "message", "param"),
    [
        ([1], "could not parse the JSON body", None),
        ({"messages": HI}, "Missing required parameter: 'model'", "model"),
        ({"model": "m"}, "Missing required parameter: 'messages'", "messages"),
    ],
)
def test_a_body_that_cannot_be_answered_is_a_400_in_openais_shape(raw: object, message: str, param: str | None) -> None:
    answer = ask("chat", raw)
    error = body_of(answer)["error"]
    assert answer.status == 400
    assert message in error["message"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
