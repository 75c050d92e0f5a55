"""Endpoints of Amazon SageMaker whose container speaks TGI's format. What signs the requests is `upstream/aws.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import Deployment, Usage
from router.dialects import head
from router.dialects.base import Headers, InferenceRequest, StreamDecoder, WireRequest
from router.dialects.eventstream import BadEventStream, EventStreamSplitter, Message
from router.dialects.recognise import ErrorBody, error_body, failure_of
from router.dialects.tgi.dialect import TGIDialect
from router.dialects.tgi.reply import Shape, TGIStream
from router.dialects.tgi.request import generate_body

SIGNED = "aws+"
"""Before the scheme of an origin: requests there are signed with the deployment's AwsAccount."""
_THROTTLED = ("ThrottlingException", "ServiceQuotaExceededException")
_ITS_OWN_FAULT = ("InternalDependencyException", "InternalStreamFailure", "ModelStreamError", "ServiceUnavailable")


@dataclass(frozen=True, slots=True)
class AwsAccount:
    """Who signs, and for where. Without an access key: whoever this machine is (environment, profile, role)."""

    region: str
    service: str = "sagemaker"
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    profile: str = ""


class SageMakerDialect(TGIDialect):
    """`model` is the endpoint's name; `options` the deployment's AwsAccount."""

    def encode(self, request: InferenceRequest, deployment: Deployment, key: str) -> WireRequest:
        told = generate_body(request.body, drop=deployment.drop_params)
        if request.stream:
            told["stream"] = True
        body = orjson.dumps(told)
        what = "invocations-response-stream" if request.stream else "invocations"
        path = f"{head.base_path(deployment)}/endpoints/{quote(deployment.model, safe='')}/{what}"
        fields = head.post(deployment, path, {})
        origin = head.origin_of(deployment)
        origin = origin._replace(scheme=SIGNED + origin.scheme)
        return WireRequest(origin, head.whole(fields, request.id, len(body)), body, deployment)

    def decoder(self, request: InferenceRequest, headers: Headers) -> StreamDecoder:
        return SageMakerStream(TGIStream(Shape(request, headers), request.wants_usage))

    def failure(self, status: int, headers: Headers, body: bytes) -> UpstreamFailure:
        """The endpoint's own error where it is the container's (424 with the original inside)."""
        told = _parsed(body)
        name = headers.get(b"x-amzn-errortype", b"").decode("latin-1").partition(":")[0] or str(
            told.get("__type") or ""
        )
        if name.rpartition("#")[2] in _THROTTLED:
            status = 429
        original = told.get("OriginalStatusCode")
        if status == 424 and isinstance(original, int):
            return failure_of(original, headers, str(told.get("OriginalMessage") or "").encode())
        if status == 424:
            status = 502
        message = told.get("message") or told.get("Message")
        return failure_of(status, headers, error_body(ErrorBody(name, "", str(message or name))))


class SageMakerStream:
    """See `StreamDecoder`. The parts of the payload, put together, are TGI's stream."""

    def __init__(self, inner: TGIStream) -> None:
        self._inner = inner
        self._splitter = EventStreamSplitter()
        self.started = False
        self.finished = False
        self.failure: UpstreamFailure | None = None
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> bytes:
        if self.finished or self.failure is not None:
            return b""
        frames = b""
        try:
            for message in self._splitter.feed(data):
                frames += self._message(message)
        except BadEventStream as error:
            self.failure = UpstreamFailure(FailureKind.PROTOCOL, str(error))
        return self._note(frames)

    def end(self) -> bytes:
        if self.finished or self.failure is not None or self._splitter.incomplete:
            return b""
        return self._note(self._inner.end())

    def _message(self, message: Message) -> bytes:
        kind = message.headers.get(":message-type", "event")
        if kind == "event":
            return self._inner.feed(message.payload)
        name = message.headers.get(":exception-type") or message.headers.get(":error-code") or "an error"
        self.failure = self.failure or UpstreamFailure(_kind_of(name), f"sent {name} in its stream", status=200)
        return b""

    def _note(self, frames: bytes) -> bytes:
        inner = self._inner
        self.started, self.finished, self.usage = inner.started, inner.finished, inner.usage
        self.failure = self.failure or inner.failure
        return frames


def _kind_of(name: str) -> FailureKind:
    if name in _THROTTLED:
        return FailureKind.RATE_LIMITED
    return FailureKind.SERVER_ERROR if name in _ITS_OWN_FAULT else FailureKind.BAD_REPLY


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}
