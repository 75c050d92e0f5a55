"""The official client, synchronous and asynchronous, against the server on a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer

HI: Any = [{"role": "user", "content": "say hi"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[MockServer]:
    async with MockServer(api_key="sk-mock") as server:
        yield server


@pytest_asyncio.fixture
async def client(server: MockServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=server.url, api_key="sk-mock", max_retries=0) as client:
        yield client


async def test_chat(client: openai.AsyncOpenAI) -> None:
    reply = await client.chat.completions.create(model="gpt-4o", messages=HI)
    assert reply.choices[0].message.content == "Hello from gpt-4o! You said: say hi"
    assert reply.usage is not None
    assert reply.usage.total_tokens == 9


async def test_a_streamed_chat(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "Hello from gpt-4o! You said: say hi"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7


async def test_a_tool_call_whole_and_assembled_from_a_stream(client: openai.AsyncOpenAI) -> None:
    reply = await client.chat.completions.create(model="m", messages=HI, tools=TOOLS, tool_choice="required")
    assert reply.choices[0].finish_reason == "tool_calls"
    assert reply.choices[0].message.tool_calls is not None
    call = reply.choices[0].message.tool_calls[0]
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "mock"}
    async with client.chat.completions.stream(model="m", messages=HI, tools=TOOLS, tool_choice="required") as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.tool_calls is not None
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city":"mock"}'


async def test_legacy_completions(client: openai.AsyncOpenAI) -> None:
    reply = await client.completions.create(model="m", prompt=["a", "b"])
    assert [choice.text for choice in reply.choices] == ["Hello from m! You said: a", "Hello from m! You said: b"]
    stream = await client.completions.create(model="m", prompt="a", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "Hello from m! You said: a"


async def test_embeddings_in_both_encodings(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "m", "input": ["a", "b"], "dimensions": 16}
    packed = await client.embeddings.create(**asked)  # the client asks for base64 of its own accord
    plain = await client.embeddings.create(**asked, encoding_format="float")
    assert [e.embedding for e in packed.data] == [e.embedding for e in plain.data]
    assert len(plain.data[1].embedding) == 16


async def test_models(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["mock-chat", "mock-embedding"]


async def test_the_synchronous_client(server: MockServer) -> None:
    def use() -> tuple[str | None, str]:
        with openai.OpenAI(base_url=server.url, api_key="sk-mock", max_retries=0) as client:
            whole = client.chat.completions.create(model="m", messages=HI).choices[0].message.content
            stream = client.chat.completions.create(model="m", messages=HI, stream=True)
            return whole, "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    whole, streamed = await asyncio.to_thread(use)
    assert whole == streamed == "Hello from m! You said: say hi"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("step", "error", "code"),
    [
        ("400", openai.BadRequestError, None),
        ("400-context", openai.BadRequestError, "context_length_exceeded"),
        ("400-policy", openai.BadRequestError, "content_policy_violation"),
        ("401", openai.AuthenticationError, "invalid_api_key"),
        ("403", openai.PermissionDeniedError, "permission_denied"),
        ("404", openai.NotFoundError, "model_not_found"),
        ("409", openai.ConflictError, None),
        ("422", openai.UnprocessableEntityError, None),
        ("429", openai.RateLimitError, "rate_limit_exceeded"),
        ("429-quota", openai.RateLimitError, "insufficient_quota"),
        ("500", openai.InternalServerError, None),
        ("503", openai.InternalServerError, None),
        ("529", openai.InternalServerError, None),
    ],
)
async def test_each_error_arrives_as_the_clients_own_class(
    server: MockServer,
    client: openai.AsyncOpenAI,
    step: str,
    error: type[openai.APIStatusError],
    code: str | None,
    stream: bool,
) -> None:
    server.behaviour = Behaviour(script=(step,))
    with pytest.raises(error) as caught:
        await client.chat.completions.create(model="gpt-4o", messages=HI, stream=stream)
    assert caught.value.code == code
    assert caught.value.status_code == int(step[:3])


async def test_a_wrong_key_is_an_authentication_error(server: MockServer) -> None:
    async with openai.AsyncOpenAI(base_url=server.url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="m", messages=HI)


@pytest.mark.parametrize("step", ["reset", "garbage", "truncate"])
async def test_broken_connections_are_connection_errors(
    server: MockServer, client: openai.AsyncOpenAI, step: str
) -> None:
    server.behaviour = Behaviour(script=(step,))
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(model="m", messages=HI)


async def test_a_hang_is_a_timeout(server: MockServer, client: openai.AsyncOpenAI) -> None:
    server.behaviour = Behaviour(script=("hang",))
    with pytest.raises(openai.APITimeoutError):
        await client.chat.completions.create(model="m", messages=HI, timeout=0.05)
    await server.until(lambda s: s.cancelled == 1)


async def drain(stream: AsyncIterator[object]) -> None:
    async for _ in stream:
        pass


async def test_an_error_within_a_stream_is_raised_in_the_middle_of_it(
    server: MockServer, client: openai.AsyncOpenAI
) -> None:
    server.behaviour = Behaviour(script=("late-error",))
    stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
    assert (await anext(stream)).choices
    with pytest.raises(openai.APIError, match="had an error"):
        await drain(stream)
