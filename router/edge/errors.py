"""Errors as OpenAI clients expect them: the body, and what the headers say about trying again."""

from __future__ import annotations

import math

import orjson

from router.core.errors import RouterError

_INTERNAL = RouterError(500, "internal_error", "the router failed on this request; its log has the details",
                        type="api_error", should_retry=False)  # fmt: skip


def error_body(error: RouterError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`, or upstream's own body where it is passed through."""
    if error.body:
        return error.body
    return orjson.dumps(
        {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}
    )


def error_event(error: RouterError) -> bytes:
    """The same as a frame of a stream that has begun."""
    return b"data: %b\n\n" % error_body(error)


def error_fields(error: RouterError) -> str:
    """When to try again, in the headers that the official clients obey; a block as in `edge/fields.py`."""
    fields = ""
    if error.retry_after is not None:
        fields += f"retry-after: {math.ceil(error.retry_after)}\r\n"
        fields += f"retry-after-ms: {math.ceil(error.retry_after * 1000.0)}\r\n"
    if error.should_retry is not None:
        fields += f"x-should-retry: {'true' if error.should_retry else 'false'}\r\n"
    if error.status == 401:
        fields += "www-authenticate: Bearer\r\n"
    return fields


def internal_error() -> RouterError:
    """For the errors nobody foresaw: nothing of them is shown."""
    return _INTERNAL
