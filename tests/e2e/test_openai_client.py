"""The official client, synchronous and asynchronous, through the router."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.e2e.conftest import Ask
from tests.e2e.processes import Mock, until

HI: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "say hi"}]}
SAID = "Hello from gpt-4o! You said: say hi"
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


async def test_chat(ask: Ask, mock: Mock) -> None:
    reply = await ask(lambda client: client.chat.completions.create(**HI))
    assert reply.choices[0].message.content == SAID
    assert (reply.model, reply.object) == ("gpt-4o", "chat.completion")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (2, 7, 9)
    assert reply._request_id.startswith("req-")


async def test_chat_through_an_alias(ask: Ask, mock: Mock) -> None:
    reply = await ask(lambda client: client.chat.completions.create(**HI | {"model": "gpt-latest"}))
    assert reply.choices[0].message.content == SAID


async def test_the_raw_response_tells_who_served_it(ask: Ask, mock: Mock) -> None:
    raw = await ask(lambda client: client.chat.completions.with_raw_response.create(**HI))
    assert raw.headers["x-router-deployment"] == "gpt-4o-1"
    assert raw.headers["x-router-attempts"] == "1"


async def test_a_stream(ask: Ask, mock: Mock) -> None:
    chunks = await ask(lambda client: client.chat.completions.create(**HI, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


async def test_a_stream_with_its_usage(ask: Ask, mock: Mock) -> None:
    options = {"include_usage": True}
    *chunks, last = await ask(lambda client: client.chat.completions.create(**HI, stream=True, stream_options=options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID
    assert (last.choices, last.usage.total_tokens) == ([], 9)


async def test_a_tool_call(ask: Ask, mock: Mock) -> None:
    reply = await ask(lambda client: client.chat.completions.create(**HI, tools=TOOLS, tool_choice="required"))
    (call,) = reply.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "mock"})
    assert reply.choices[0].finish_reason == "tool_calls"


async def test_a_tool_call_assembled_from_a_stream(ask: Ask, mock: Mock) -> None:
    chunks = await ask(
        lambda client: client.chat.completions.create(**HI, tools=TOOLS, tool_choice="required", stream=True)
    )
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert calls[0].function.name == "weather"
    assert json.loads("".join(call.function.arguments for call in calls)) == {"city": "mock"}


async def test_the_answer_to_a_tool_call_and_parts_of_content_travel_on(ask: Ask, mock: Mock) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    messages: Any = [
        {"role": "user", "content": [{"type": "text", "text": "say hi"}]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    reply = await ask(lambda client: client.chat.completions.create(model="gpt-4o", messages=messages, n=2))
    assert [choice.message.content for choice in reply.choices] == [SAID, SAID]
    assert json.loads(mock.requests()[-1]["body"])["messages"] == messages


async def test_embeddings_as_the_client_asks_by_default_and_as_floats(ask: Ask, mock: Mock) -> None:
    asked: Any = {"model": "gpt-4o", "input": ["a", "b"], "dimensions": 16}
    packed = await ask(lambda client: client.embeddings.create(**asked))
    assert json.loads(mock.requests()[-1]["body"])["encoding_format"] == "base64"
    plain = await ask(lambda client: client.embeddings.create(**asked, encoding_format="float"))
    assert [len(item.embedding) for item in packed.data] == [16, 16]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert all(abs(a - b) < 1e-6 for a, b in zip(one.embedding, other.embedding, strict=True))
    assert plain.usage.prompt_tokens == 2


async def test_legacy_completions(ask: Ask, mock: Mock) -> None:
    reply = await ask(lambda client: client.completions.create(model="gpt-4o", prompt="say hi"))
    assert (reply.choices[0].text, reply.object) == (SAID, "text_completion")
    chunks = await ask(lambda client: client.completions.create(model="gpt-4o", prompt="say hi", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == SAID


async def test_models(ask: Ask, mock: Mock) -> None:
    listed = await ask(lambda client: client.models.list())
    names = [model.id for model in listed.data]
    assert {"gpt-4o", "gpt-latest", "down"} <= set(names)
    assert names == sorted(names)
    one = await ask(lambda client: client.models.retrieve("gpt-4o"))
    assert (one.id, one.object, one.owned_by) == ("gpt-4o", "model", "openai")


async def test_parameters_of_the_routers_own_go_by_extra_body(ask: Ask, mock: Mock) -> None:
    own = {"timeout": 10, "num_retries": 0, "metadata": {"a": "b"}}
    await ask(lambda client: client.chat.completions.create(**HI, extra_body=own))
    assert json.loads(mock.requests()[-1]["body"]) == HI


async def test_extra_body_reaches_upstream_and_replaces_what_the_client_sends(ask: Ask, mock: Mock) -> None:
    more = {"top_k": 40, "temperature": 0.25, "chat_template_kwargs": {"thinking": False}}
    await ask(lambda client: client.chat.completions.create(**HI, temperature=1, extra_body=more))
    assert json.loads(mock.requests()[-1]["body"]) == HI | more


async def test_extra_headers_are_read_by_the_router_and_stay_there(ask: Ask, mock: Mock) -> None:
    own = {"x-request-id": "mine-1", "x-router-timeout": "9", "x-private": "stays"}
    raw = await ask(lambda client: client.chat.completions.with_raw_response.create(**HI, extra_headers=own))
    assert raw.headers["x-request-id"] == "mine-1"
    sent = mock.requests()[-1]["headers"]
    assert sent["x-request-id"] == "mine-1"
    assert not {"x-private", "x-router-timeout"} & {name.lower() for name in sent}
    with pytest.raises(openai.BadRequestError, match="x-router-timeout"):
        await ask(lambda client: client.chat.completions.create(**HI, extra_headers={"x-router-timeout": "soon"}))


async def test_the_clients_own_timeout_ends_the_call_and_upstreams_with_it(ask: Ask, mock: Mock) -> None:
    mock.behave(time_to_first_token=30)
    with pytest.raises(openai.APITimeoutError):
        await ask(lambda client: client.chat.completions.create(**HI, timeout=0.5))
    until(lambda: mock.stats()["cancelled"] >= 1)


async def test_a_timeout_in_extra_body_is_the_routers_and_comes_back_as_an_error(ask: Ask, mock: Mock) -> None:
    mock.behave(time_to_first_token=30)
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(lambda client: client.chat.completions.create(**HI, extra_body={"timeout": 0.5}))
    assert (caught.value.status_code, caught.value.code) == (504, "timeout")
