"""OpenAI's own wire format, and any server's that speaks it: what the client sent travels on with its model renamed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson

from router.core.errors import FailureKind, UpstreamFailure
from router.core.quota import Allowances
from router.core.types import Deployment, Kind
from router.dialects.allowances import openai_allowances
from router.dialects.base import Headers, InferenceRequest, Origin, Reply, StreamDecoder, WireRequest
from router.dialects.head import base_path, origin_of, post, whole
from router.dialects.json_edit import prepend, replace_model
from router.dialects.openai_stream import OpenAIStream, error_failure
from router.dialects.prompt.completion import SUPPORT as TEXT
from router.dialects.recognise import failure_of, filtered, filtered_failure, is_error
from router.dialects.support import CHAT, Support
from router.dialects.usage import read_usage, text_bytes

PATHS: Mapping[Kind, str] = MappingProxyType(
    {"chat": "/chat/completions", "completion": "/completions", "embedding": "/embeddings"}
)
_HEADS_KEPT = 16_384
"""A bound for the heads of wildcard deployments, whose models clients name."""
LONGEST_REPLY = ("max_tokens", "max_completion_tokens")
_INCLUDE_USAGE = b'"stream_options":{"include_usage":true}'


class OpenAIDialect:
    """Holds nothing but request heads, one per (deployment, kind of request, key), made when first needed.

    They are found by names, and hold for the very deployment that they were made for: a reload makes new ones.
    """

    support: Support = CHAT
    text_support: Support = TEXT

    def __init__(self) -> None:
        self._heads: dict[tuple[str, str, Kind, str], tuple[Deployment, Origin, bytes]] = {}

    def encode(self, request: InferenceRequest, deployment: Deployment, key: str) -> WireRequest:
        place = (deployment.id, deployment.model, request.kind, key)
        known = self._heads.get(place)
        if known is None or known[0] is not deployment:
            if len(self._heads) >= _HEADS_KEPT:
                self._heads.clear()
            known = (deployment, self.origin(deployment), self._head(deployment, request.kind, key))
            if not deployment.transient:
                self._heads[place] = known
        _, origin, head = known
        body = self._body(request, deployment)
        return WireRequest(origin, whole(head, request.id, len(body)), body, deployment)

    def reply(self, request: InferenceRequest, headers: Headers, body: bytes) -> Reply:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise UpstreamFailure(FailureKind.BAD_REPLY, "sent a reply that is no JSON", status=200) from None
        if not isinstance(document, dict):
            raise UpstreamFailure(FailureKind.BAD_REPLY, "sent a reply that is no JSON object", status=200)
        if is_error(document):
            raise error_failure(document)
        if request.moves_filtered and filtered(document.get("choices")):
            raise filtered_failure()
        usage = read_usage(document.get("usage"))
        return Reply(body, usage) if usage is not None else Reply(body, None, text_bytes(document))

    def decoder(self, request: InferenceRequest, headers: Headers) -> StreamDecoder:
        return OpenAIStream(request.wants_usage, request.moves_filtered)

    def failure(self, status: int, headers: Headers, body: bytes) -> UpstreamFailure:
        return failure_of(status, headers, body)

    def allowances(self, headers: Headers) -> Allowances | None:
        return openai_allowances(headers)

    def origin(self, deployment: Deployment) -> Origin:
        """Where `deployment` is reached."""
        return origin_of(deployment)

    def credentials(self, key: str) -> tuple[str, str]:
        """The header field that presents `key`."""
        return "authorization", f"Bearer {key}"

    def path(self, base: str, deployment: Deployment, kind: Kind) -> str:
        """The path and query of requests of this kind; `base` is the path in the deployment's address."""
        return base + PATHS[kind]

    def tells_usage(self, deployment: Deployment) -> bool:
        """Whether a stream's usage may be asked for."""
        return True

    def _head(self, deployment: Deployment, kind: Kind, key: str) -> bytes:
        path = self.path(base_path(deployment), deployment, kind)
        return post(deployment, path, dict([self.credentials(key)]) if key else {})

    def _body(self, request: InferenceRequest, deployment: Deployment) -> bytes:
        asks_usage = request.stream and not request.wants_usage and self.tells_usage(deployment)
        name = deployment.max_tokens_name
        renames = name is not None and request.kind == "chat" and other_name(name) in request.body
        if not renames and not (asks_usage and "stream_options" in request.body):
            raw = replace_model(request.raw, request.body, orjson.dumps(deployment.model))
            if raw is not None:
                return prepend(raw, _INCLUDE_USAGE) if asks_usage else raw
        changed = {**request.body, "model": deployment.model}
        if asks_usage:
            changed["stream_options"] = {**(request.body.get("stream_options") or {}), "include_usage": True}
        if renames and name is not None:
            name_longest_reply(changed, name)
        return orjson.dumps(changed)


def other_name(name: str) -> str:
    """Of the two that the longest reply has, the one that is not `name`."""
    return LONGEST_REPLY[name == LONGEST_REPLY[0]]


def name_longest_reply(body: dict[str, Any], name: str) -> None:
    """Give the longest reply as `name` only, `max_tokens` or `max_completion_tokens`."""
    limits = [body.pop(other, None) for other in LONGEST_REPLY]
    given = [limit for limit in limits if limit is not None]
    if given:
        body[name] = min(given)
