"""Text completions from a TGI server. Chat completions come from it through prompts."""

from __future__ import annotations

import orjson

from router.core.errors import FailureKind, UpstreamFailure
from router.core.quota import Allowances
from router.core.types import Deployment
from router.dialects import head
from router.dialects.base import Headers, InferenceRequest, Reply, StreamDecoder, WireRequest
from router.dialects.recognise import failure_of
from router.dialects.support import Support
from router.dialects.tgi.reply import Shape, TGIStream, whole
from router.dialects.tgi.request import SUPPORT, generate_body


class TGIDialect:
    """Holds nothing. The key is a bearer's, as the hub's inference endpoints want it."""

    support: Support = SUPPORT
    text_support: Support = SUPPORT

    def encode(self, request: InferenceRequest, deployment: Deployment, key: str) -> WireRequest:
        """Raises UpstreamFailure (a 400 naming the parameter) for what TGI cannot express."""
        body = orjson.dumps(generate_body(request.body, drop=deployment.drop_params))
        path = head.base_path(deployment) + ("/generate_stream" if request.stream else "/generate")
        fields = head.post(deployment, path, {"authorization": f"Bearer {key}"} if key else {})
        return WireRequest(head.origin_of(deployment), head.whole(fields, request.id, len(body)), body, deployment)

    def reply(self, request: InferenceRequest, headers: Headers, body: bytes) -> Reply:
        try:
            told = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise UpstreamFailure(FailureKind.BAD_REPLY, "sent a reply that is no JSON", status=200) from None
        made, usage = whole(told, Shape(request, headers))
        return Reply(orjson.dumps(made), usage)

    def decoder(self, request: InferenceRequest, headers: Headers) -> StreamDecoder:
        return TGIStream(Shape(request, headers), request.wants_usage)

    def failure(self, status: int, headers: Headers, body: bytes) -> UpstreamFailure:
        return failure_of(status, headers, body)

    def allowances(self, headers: Headers) -> Allowances | None:
        return None
