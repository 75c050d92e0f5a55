"""Prompts too long for a model: moved before they are sent, or once upstream has refused them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from aiohttp import web

from router.core.types import Deployment
from router.dialects.mock.behaviour import Behaviour
from tests.edge.house import House, Open, group, inside
from tests.edge.test_azure import azure_upstream
from tests.edge.wire import CHAT, Seen

PROSE = "The quick brown fox jumps over the lazy dog, and the dog could not care less. "


def long(tokens: int) -> dict[str, Any]:
    """A prompt of a little more tokens than that."""
    return {"model": "m", "messages": [{"role": "user", "content": PROSE * (tokens // 17)}]}


def place(base: str = "http://127.0.0.1:1/v1", model: str = "gpt-4o", window: int | None = 128_000) -> Deployment:
    return Deployment("east", "m", "openai", model, base, ("sk",), context_window=window)


def large(name: str = "n", **more: Any) -> Deployment:
    return inside(name, Behaviour(reply=f"by {name}"), model_name=name, context_window=1_000_000, **more)


async def ask(router: House, body: dict[str, Any]) -> Seen:
    return await router.ask(CHAT, body)


async def test_a_prompt_too_long_for_gpt_4o_goes_to_its_fallback_without_an_upstream_call(house: Open) -> None:
    async with azure_upstream() as (base, seen):
        groups = [group(place(base), context_window_fallbacks=("n",)), group(large(), name="n")]
        async with house(*groups) as router:
            answer = await ask(router, long(140_000))
            assert (answer.status, answer.headers["x-router-fallback"]) == (200, "n")
            assert answer.headers["x-router-attempts"] == "1"
            assert not seen, "nothing was sent to gpt-4o"
            name = 'router_fallbacks_total{kind="context_window",model="m",to="n"}'
            assert await router.metric(name) == 1


async def test_prompt_and_wanted_output_must_fit_together(house: Open) -> None:
    groups = [group(place(window=8192), context_window_fallbacks=("n",)), group(large(), name="n")]
    async with house(*groups) as router:
        answer = await ask(router, long(6000) | {"max_tokens": 4000})
        assert (answer.status, answer.headers.get("x-router-fallback")) == (200, "n")


async def test_the_requests_own_dict_wins_over_the_configured_list(house: Open) -> None:
    groups = [
        group(place(), context_window_fallbacks=("n",)),
        group(large(), name="n"),
        group(large("mine"), name="mine"),
    ]
    async with house(*groups) as router:
        answer = await ask(router, long(140_000) | {"context_window_fallback_dict": {"m": "mine"}})
        assert (answer.status, answer.headers["x-router-fallback"]) == (200, "mine")


async def test_what_is_counted_too_long_for_everybody_is_refused_with_openais_code(house: Open) -> None:
    async with azure_upstream() as (base, seen), house(group(place(base, window=1000))) as router:
        answer = await ask(router, long(1200))
        error = answer.error()
        assert (answer.status, error["code"], error["param"]) == (400, "context_length_exceeded", "messages")
        assert not seen


async def test_what_only_seems_too_long_is_sent_for_upstream_to_judge(house: Open) -> None:
    unknown = inside("d", model="some-model", context_window=100)
    async with house(group(unknown)) as router:
        answer = await ask(router, long(5000))
        assert (answer.status, answer.headers["x-router-attempts"]) == (200, "1")


PUBLISHED: dict[str, tuple[int, Any]] = {
    "openai": (400, {"error": {"message": "This model's maximum context length is 128000 tokens. However, your messages"
                     " resulted in 140012 tokens. Please reduce the length of the messages.",
                     "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"}}),
    "openai responses": (400, {"error": {"message": "Your input exceeds the context window of this model. Please adjust"
                               " your input and try again.", "type": "invalid_request_error", "param": "input",
                               "code": "context_length_exceeded"}}),
    "azure": (400, {"error": {"message": "This model's maximum context length is 8192 tokens, however you requested"
                    " 9000 tokens.", "type": "invalid_request_error", "param": None, "code": None}}),
    "anthropic": (400, {"type": "error", "error": {"type": "invalid_request_error",
                        "message": "prompt is too long: 208310 tokens > 200000 maximum"}}),
    "anthropic output": (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "input length and"
                               " `max_tokens` exceed context limit: 199000 + 4096 > 200000"}}),
    "gemini": (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "The input token count (1200000)"
                     " exceeds the maximum number of tokens allowed (1048576)."}}),
    "bedrock": (400, {"message": "Input is too long for requested model."}),
    "vllm": (400, {"object": "error", "type": "BadRequestError", "code": 400, "message": "This model's maximum context"
                   " length is 4096 tokens. However, you requested 5000 tokens in the messages."}),
    "tgi": (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
                  "error_type": "validation"}),
    "llama.cpp": (400, {"error": {"code": 400, "type": "exceed_context_size_error", "message": "the request exceeds the"
                        " available context size, try increasing it"}}),
    "mistral": (400, {"object": "error", "type": "invalid_request_error", "message": "Prompt contains 40000 tokens and"
                      " 0 draft tokens, too large for model with 32768 maximum context length"}),
    "groq": (413, {"error": {"message": "Please reduce the length of the messages or completion.",
                   "type": "invalid_request_error", "code": "context_length_exceeded"}}),
    "too large for the minute": (429, {"error": {"message": "Request too large for gpt-4o on tokens per min (TPM):"
                                       " Limit 30000, Requested 140012.", "code": "rate_limit_exceeded"}}),
}  # fmt: skip
"""Each provider's words for a prompt that is too long."""


@pytest.mark.parametrize("provider", PUBLISHED)
async def test_what_upstream_refuses_as_too_long_falls_back_afterwards(house: Open, provider: str) -> None:
    status, body = PUBLISHED[provider]

    async def refuse(request: web.Request) -> web.Response:
        return web.json_response(text=orjson.dumps(body).decode(), status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        base = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        groups = [group(place(base, "some-model", None), context_window_fallbacks=("n",)), group(large(), name="n")]
        async with house(*groups) as router:
            answer = await ask(router, long(100))
            assert (answer.status, answer.headers["x-router-fallback"]) == (200, "n")
            assert answer.headers["x-router-attempts"] == "2"
    finally:
        await runner.cleanup()
