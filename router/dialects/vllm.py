"""vLLM: OpenAI's format, but for what it does not know of it and what it knows besides."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import orjson

from router.core.types import Deployment
from router.dialects.base import Headers, InferenceRequest, Reply, StreamDecoder, WireRequest
from router.dialects.functions import FunctionStream, asks_for_functions, with_tools, without_tools
from router.dialects.openai import OpenAIDialect
from router.dialects.prompt.completion import SUPPORT as TEXT
from router.dialects.support import CHAT, SENT, Support, emulated


class VLLMDialect(OpenAIDialect):
    """Functions become tools, and their calls functions again. A prompt that begins with the token for that says so."""

    support: Support = MappingProxyType(
        {**CHAT, "functions": emulated("`tools`"), "function_call": emulated("`tool_choice`")}
    )
    text_support: Support = MappingProxyType({**TEXT, "response_format": SENT})

    def encode(self, request: InferenceRequest, deployment: Deployment, key: str) -> WireRequest:
        if request.prompt is not None and request.prompt.begun and "add_special_tokens" not in request.body:
            request = _changed(request, {**request.body, "add_special_tokens": False})
        elif request.kind == "chat" and asks_for_functions(request.body):
            request = _changed(request, with_tools(request.body))
        return super().encode(request, deployment, key)

    def reply(self, request: InferenceRequest, headers: Headers, body: bytes) -> Reply:
        told = super().reply(request, headers, body)
        if request.kind == "chat" and request.prompt is None and asks_for_functions(request.body):
            return told._replace(body=orjson.dumps(without_tools(orjson.loads(body))))
        return told

    def decoder(self, request: InferenceRequest, headers: Headers) -> StreamDecoder:
        inner = super().decoder(request, headers)
        if request.kind == "chat" and request.prompt is None and asks_for_functions(request.body):
            return FunctionStream(inner)
        return inner


def _changed(request: InferenceRequest, body: dict[str, object]) -> InferenceRequest:
    return replace(request, body=body, raw=orjson.dumps(body))
