"""What an error reply means: structured codes first, then known wordings, and those on a few statuses only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import orjson

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import ErrorPatterns
from router.dialects.base import Headers

CONTEXT_WINDOW_CODES = frozenset({"context_length_exceeded", "model_max_prompt_tokens_exceeded"})
CONTENT_POLICY_CODES = frozenset({"content_filter", "content_policy_violation", "responsibleaipolicyviolation"})
FIELD_TOO_LONG_CODE = "string_above_max_length"
"""OpenAI's for a field such as `user`: it speaks of a length, and not of the window."""
OPENAIS_CODES: Mapping[FailureKind, str] = {
    FailureKind.CONTEXT_WINDOW: "context_length_exceeded",
    FailureKind.CONTENT_POLICY: "content_policy_violation",
}
MODEL_NOT_FOUND_CODE = "model_not_found"
"""OpenAI's, on a 404, and on the 403 of a project that may not use the model."""
FILTERED = "content_filter"
"""The `finish_reason` of a reply that a content filter has cut off."""
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})

TEXT_STATUSES = (400, 413, 422)
CONTEXT_WINDOW_TEXTS: Sequence[str] = (
    "maximum context length",
    "context length",
    "context window",
    "exceed context limit",
    "prompt is too long",
    "prompt: length",
    "input is too long",
    "too many input tokens",
    "too many tokens",
    "input token count",
    "exceeds the maximum number of tokens",
    "exceeds the available context size",
    "`inputs` tokens + `max_new_tokens` must be",
    "`inputs` must have less than",
    "reduce the length",
    "maximum input length is",
    "length limit exceeded",
    "is longer than the model's",
    "longer than the maximum model length",
    "while limit is",
    "request payload size exceeds",
)
CONTENT_POLICY_TEXTS: Sequence[str] = (
    "content management policy",
    "content filtering policy",
    "safety system",
    "violating our usage policy",
    "responsible ai",
)
REQUEST_TOO_LARGE_TEXT = "request too large"
"""What OpenAI says on a 429 when this one request is larger than the whole minute's limit."""
LONGEST_RETRY_AFTER = 86_400.0
"""Seconds: a day, what providers' daily limits ask for. More is a mistake, and would be a deployment lost for ever."""

_BY_STATUS = {
    401: FailureKind.AUTH,
    402: FailureKind.QUOTA,
    403: FailureKind.AUTH,
    404: FailureKind.NOT_FOUND,
    405: FailureKind.NOT_FOUND,
    408: FailureKind.SERVER_ERROR,
    413: FailureKind.CONTEXT_WINDOW,
}


class ErrorBody(NamedTuple):
    """What could be read of an error body; empty strings where it does not say."""

    code: str
    type: str
    message: str


def is_error(document: Mapping[str, Any]) -> bool:
    """Whether the document, which came with a success's status, is an error all the same."""
    return bool(document.get("error")) or document.get("object") == "error"


def filtered(choices: Any) -> bool:
    """Whether a provider's content filter has cut off one of a reply's `choices`."""
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") == FILTERED for choice in choices
    )


def filtered_failure() -> UpstreamFailure:
    """What that is where another model is meant to take the request."""
    return UpstreamFailure(FailureKind.CONTENT_POLICY, "cut off by its content filter", status=400)


def read_error(document: Any) -> ErrorBody:
    """The error in a parsed body, in any of the shapes that OpenAI-compatible servers use."""
    error = (document.get("error") or document) if isinstance(document, dict) else document
    if isinstance(error, str):
        return ErrorBody("", "", error)
    if not isinstance(error, dict):
        return ErrorBody("", "", "")
    inner = error.get("innererror")
    inner_code = inner.get("code") if isinstance(inner, dict) else None
    code = inner_code or error.get("code") or ""
    message = error.get("message") or error.get("detail") or ""
    return ErrorBody(str(code), str(error.get("type") or ""), str(message))


def failure_of(status: int, headers: Headers, body: bytes) -> UpstreamFailure:
    """The facts of an error reply with `status`."""
    document: Any = None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    error = read_error(document)
    kind = kind_of(status, error)
    shown = kind in (FailureKind.CONTEXT_WINDOW, FailureKind.CONTENT_POLICY, FailureKind.REJECTED)
    return UpstreamFailure(
        kind,
        error.message if shown and error.message else f"{status}",
        status=status,
        retry_after=retry_after(headers),
        body=(body if has_openais_shape(document) else error_body(error, kind)) if shown and error.message else b"",
    )


def has_openais_shape(document: Any) -> bool:
    """Whether a client of OpenAI's can read the error from it."""
    error = document.get("error") if isinstance(document, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str)


def error_body(error: ErrorBody, kind: FailureKind | None = None) -> bytes:
    """What another shape said, in OpenAI's; with OpenAI's own code for `kind` where it has none."""
    code = error.code or (None if kind is None else OPENAIS_CODES.get(kind))
    return orjson.dumps({"error": {"message": error.message, "type": error.type or None, "param": None, "code": code}})


def kind_of(status: int, error: ErrorBody) -> FailureKind:
    code, text = error.code.lower(), error.message.lower()
    if code in CONTEXT_WINDOW_CODES:
        return FailureKind.CONTEXT_WINDOW
    if code in CONTENT_POLICY_CODES:
        return FailureKind.CONTENT_POLICY
    if code == MODEL_NOT_FOUND_CODE:
        return FailureKind.NOT_FOUND
    if status == 429:
        if code in QUOTA_CODES or error.type in QUOTA_CODES:
            return FailureKind.QUOTA
        return FailureKind.CONTEXT_WINDOW if REQUEST_TOO_LARGE_TEXT in text else FailureKind.RATE_LIMITED
    if status in TEXT_STATUSES and code != FIELD_TOO_LONG_CODE:
        if any(wording in text for wording in CONTEXT_WINDOW_TEXTS):
            return FailureKind.CONTEXT_WINDOW
        if any(wording in text for wording in CONTENT_POLICY_TEXTS):
            return FailureKind.CONTENT_POLICY
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return FailureKind.REJECTED if 400 <= status < 500 else FailureKind.SERVER_ERROR


def read_again(failure: UpstreamFailure, body: bytes, patterns: ErrorPatterns) -> UpstreamFailure:
    """`failure`, whose reply had `body`, by the texts that were configured: where nothing else has told what it is."""
    if failure.kind is not FailureKind.REJECTED or failure.status not in TEXT_STATUSES:
        return failure
    text = f"{failure.message}\n{body.decode('utf-8', 'replace')}".lower()
    if any(wording in text for wording in patterns.context_window):
        failure.kind = FailureKind.CONTEXT_WINDOW
    elif any(wording in text for wording in patterns.content_policy):
        failure.kind = FailureKind.CONTENT_POLICY
    return failure


def retry_after(headers: Headers) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after`; an HTTP date is taken relative to the reply's own `date`."""
    try:
        if b"retry-after-ms" in headers:
            return _seconds(float(headers[b"retry-after-ms"]) / 1000.0)
        value = headers.get(b"retry-after", b"").decode("latin-1")
        if not value:
            return None
        if value[0].isdigit():
            return _seconds(float(value))
        sent = parsedate_to_datetime(headers[b"date"].decode("latin-1"))
        return _seconds((parsedate_to_datetime(value) - sent).total_seconds())
    except (ValueError, TypeError, KeyError):
        return None


def _seconds(value: float) -> float | None:
    return min(value, LONGEST_RETRY_AFTER) if 0.0 <= value < float("inf") else None
