"""The answer where a dialect cannot say what the client asked for."""

from __future__ import annotations

import orjson

from router.core.errors import FailureKind, UpstreamFailure

CODE = "unsupported_parameter"


def unsupported(param: str, message: str, kind: FailureKind = FailureKind.UNSUPPORTED) -> UpstreamFailure:
    """A 400 naming `param`, raised before anything is sent. Another deployment may be able to serve the request;
    `kind` REJECTED: none can."""
    code = CODE if kind is FailureKind.UNSUPPORTED else "invalid_request_error"
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return UpstreamFailure(kind, message, status=400, body=orjson.dumps({"error": error}))
