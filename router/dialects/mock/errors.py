"""Error replies as OpenAI words them."""

from __future__ import annotations

from http import HTTPStatus
from math import ceil
from typing import NamedTuple

import orjson

from router.dialects.mock.behaviour import SPECIAL_STATUSES, Behaviour
from router.dialects.mock.playback import Answer, Send

JSON_TYPE = ("content-type", "application/json")

_LIMIT_REQUESTS = 10_000  # a minute
_LIMIT_TOKENS = 2_000_000
_DEFAULT_RETRY_AFTER = 1.0


class ErrorBody(NamedTuple):
    """The members of `{"error": {…}}`."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None

    def json(self) -> bytes:
        """The whole body."""
        return orjson.dumps({"error": self._asdict()})


INVALID = "invalid_request_error"

_BODIES = {
    "401": ErrorBody(
        "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
        INVALID,
        None,
        "invalid_api_key",
    ),
    "403": ErrorBody("You are not allowed to sample from this model.", "permission_error", None, "permission_denied"),
    "404": ErrorBody(
        "The model `{model}` does not exist or you do not have access to it.", INVALID, None, "model_not_found"
    ),
    "429": ErrorBody(
        "Rate limit reached for {model} in organization org-mock on requests per min (RPM): Limit 10000, Used 10000, "
        "Requested 1. Please try again in {wait}. Visit https://platform.openai.com/account/rate-limits to learn more.",
        "requests",
        None,
        "rate_limit_exceeded",
    ),
    "429-quota": ErrorBody(
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "insufficient_quota",
        None,
        "insufficient_quota",
    ),
    "400-context": ErrorBody(
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
        "Please reduce the length of the messages.",
        INVALID,
        "messages",
        "context_length_exceeded",
    ),
    "400-policy": ErrorBody(
        "Your request was rejected as a result of our safety system. Your prompt may contain text that is not allowed "
        "by our safety system.",
        INVALID,
        None,
        "content_policy_violation",
    ),
    "400-filter": ErrorBody(
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please "
        "modify your prompt and retry. To learn more about our content filtering policies please read our "
        "documentation: https://go.microsoft.com/fwlink/?linkid=2198766",
        INVALID,
        "prompt",
        "content_filter",
    ),
    "500": ErrorBody("The server had an error while processing your request. Sorry about that!", "server_error"),
    "503": ErrorBody("The engine is currently overloaded, please try again later.", "server_error"),
    "529": ErrorBody("Overloaded", "overloaded_error"),
}
_BODIES["429-bare"] = _BODIES["429"]


def is_error(step: str) -> bool:
    """Whether a step answers with an error's status."""
    return step in SPECIAL_STATUSES or step.isdigit()


def error_answer(step: str, model: str, behaviour: Behaviour) -> Answer:
    """The reply of a step such as `503` or `429-quota`: at once, whatever the behaviour's times are."""
    status = int(step.partition("-")[0])
    headers: list[tuple[str, str]] = []
    wait = behaviour.retry_after
    if step == "429" and wait is None:
        wait = _DEFAULT_RETRY_AFTER
    if wait is not None and (step == "429" or status >= 500):
        headers = [("retry-after", str(ceil(wait))), ("retry-after-ms", str(round(wait * 1000)))]
    if behaviour.rate_limit_headers and status == 429:
        headers += rate_limit_headers(0, wait)
    body = _BODIES.get(step) or _generic(status)
    text = body.message.replace("{model}", model).replace("{wait}", duration(wait or _DEFAULT_RETRY_AFTER))
    return json_answer(status, body._replace(message=text).json(), headers)


def rejection(status: int, message: str, *, param: str | None = None, code: str | None = None) -> Answer:
    """A reply that is the request's own fault."""
    return json_answer(status, ErrorBody(message, INVALID, param, code).json())


def json_answer(status: int, body: bytes, headers: list[tuple[str, str]] | None = None, after: float = 0.0) -> Answer:
    """A whole JSON reply, `after` seconds from now."""
    fields = (JSON_TYPE, ("content-length", str(len(body))), *(headers or ()))
    return Answer(status, fields, len(body), (Send(after, body),))


def rate_limit_headers(tokens: int, exhausted_for: float | None = None) -> list[tuple[str, str]]:
    """OpenAI's `x-ratelimit-*` after a request of so many tokens, or with nothing left for so many seconds."""
    left = _LIMIT_REQUESTS - 1 if exhausted_for is None else 0
    return [
        ("x-ratelimit-limit-requests", str(_LIMIT_REQUESTS)),
        ("x-ratelimit-limit-tokens", str(_LIMIT_TOKENS)),
        ("x-ratelimit-remaining-requests", str(left)),
        ("x-ratelimit-remaining-tokens", str(max(0, _LIMIT_TOKENS - tokens))),
        ("x-ratelimit-reset-requests", duration(60 / _LIMIT_REQUESTS if exhausted_for is None else exhausted_for)),
        ("x-ratelimit-reset-tokens", duration(tokens * 60 / _LIMIT_TOKENS)),
    ]


def duration(seconds: float) -> str:
    """`6ms`, `1.5s`, `6m0s`: how OpenAI writes a time span."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds else "0s"
    minutes, rest = divmod(seconds, 60)
    return (f"{int(minutes)}m" if minutes else "") + f"{round(rest, 3):g}s"


def _generic(status: int) -> ErrorBody:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = f"Status {status}"
    return ErrorBody(f"{phrase} (mock)", "server_error" if status >= 500 else INVALID)
