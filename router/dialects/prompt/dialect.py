"""Chat completions from an upstream that only completes texts: a dialect around another's text completions."""

from __future__ import annotations

from dataclasses import replace

import orjson

from router.core.errors import UpstreamFailure
from router.core.prompts import Prompt
from router.core.quota import Allowances
from router.core.types import Deployment, Usage
from router.dialects.base import Dialect, Headers, InferenceRequest, Reply, StreamDecoder, WireRequest
from router.dialects.failures import UNREADABLE, unreadable
from router.dialects.prompt import chat
from router.dialects.prompt.completion import completion_body
from router.dialects.prompt.stream import ChatStream
from router.dialects.support import Support
from router.dialects.usage import document, tokens_of


class PromptDialect:
    """Requests for text completions pass to `inner` as they are. Those for chat completions have their `prompt`."""

    def __init__(self, inner: Dialect) -> None:
        self._inner = inner
        self.support: Support = inner.text_support
        self.text_support: Support = inner.text_support

    def encode(self, request: InferenceRequest, deployment: Deployment, key: str) -> WireRequest:
        """Raises UpstreamFailure (a 400 naming the parameter) for what a text completion cannot express."""
        prompt = request.prompt
        if prompt is None:
            return self._inner.encode(request, deployment, key)
        body = completion_body(request.body, prompt, deployment, self.support)
        return self._inner.encode(_as_completion(request, body), deployment, key)

    def reply(self, request: InferenceRequest, headers: Headers, body: bytes) -> Reply:
        reply = self._inner.reply(request, headers, body)
        if request.prompt is None:
            return reply
        usage = reply.usage
        if usage is None:
            usage = Usage(_prompt_tokens(request.prompt), tokens_of(reply.text), estimated=True)
        try:
            told = chat.whole(orjson.loads(reply.body), document(usage))
        except UNREADABLE:
            raise unreadable("a text completion") from None
        return Reply(orjson.dumps(told), usage)

    def decoder(self, request: InferenceRequest, headers: Headers) -> StreamDecoder:
        if request.prompt is None:
            return self._inner.decoder(request, headers)
        inner = self._inner.decoder(replace(request, wants_usage=False), headers)
        return ChatStream(inner, _prompt_tokens(request.prompt), request.wants_usage)

    def failure(self, status: int, headers: Headers, body: bytes) -> UpstreamFailure:
        return self._inner.failure(status, headers, body)

    def allowances(self, headers: Headers) -> Allowances | None:
        return self._inner.allowances(headers)


def _prompt_tokens(prompt: Prompt) -> int:
    return tokens_of(len(prompt.text.encode()))


def _as_completion(request: InferenceRequest, body: dict[str, object]) -> InferenceRequest:
    return replace(request, kind="completion", raw=orjson.dumps(body), body=body)
