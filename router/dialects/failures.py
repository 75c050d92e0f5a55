"""The answers where a dialect cannot say what the client asked for, or cannot read what upstream answered."""

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


UNREADABLE = (TypeError, ValueError, LookupError, AttributeError)
"""What it raises to read a reply that is JSON, but nothing that its dialect knows."""


def unreadable(what: str) -> UpstreamFailure:
    """For a success that is none: `what` upstream sent is of another form than its dialect's."""
    return UpstreamFailure(FailureKind.BAD_REPLY, f"sent {what} of an unknown form", status=200)
