"""What can go wrong, as facts. Errors here carry no policy: `core/retry.py` alone turns a failure into a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class FailureKind(StrEnum):
    """Why one attempt failed. Doubles as the bounded metric label `reason`."""

    CONNECT = "connect"  # cannot resolve, connect or shake hands
    DISCONNECTED = "disconnected"  # closed or reset before the whole reply had come
    PROTOCOL = "protocol"  # a reply that is not well-framed HTTP, or too large
    ATTEMPT_TIMEOUT = "attempt_timeout"
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    SERVER_ERROR = "server_error"  # 408 and 5xx
    RATE_LIMITED = "rate_limited"  # 429
    QUOTA = "quota"  # 429 insufficient_quota, 402
    AUTH = "auth"  # 401, 403: the router's credentials
    NOT_FOUND = "not_found"  # 404, 405: the model or the path is not served there
    CONTEXT_WINDOW = "context_window"
    CONTENT_POLICY = "content_policy"
    UNSUPPORTED = "unsupported"  # the deployment's dialect cannot express the request; nothing was sent
    REJECTED = "rejected"  # any other 4xx: the request's own fault
    BAD_REPLY = "bad_reply"  # a success that is none: an error body, no JSON, an empty stream
    BROKEN_STREAM = "broken_stream"  # broke after the first byte had gone to the client


@dataclass(eq=False)
class UpstreamFailure(Exception):
    """One attempt's failure, as facts.

    `status` is upstream's HTTP status, `retry_after` its wish in seconds, `sent_bytes` whether the client has already
    been sent any of this attempt's reply; `body` is upstream's own error body where the client may see it.
    """

    kind: FailureKind
    message: str
    status: int | None = None
    retry_after: float | None = None
    sent_bytes: bool = False
    body: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return self.message


class RouterError(Exception):
    """An answer to the client that is no model's: rendered in the client's dialect by `edge/errors.py`.

    `code` and `type` are OpenAI's words; `param` names the request parameter at fault; `retry_after` is in seconds;
    `body` is upstream's own error body, passed through untouched where there is one.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.type = type
        self.param = param
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.body = body


class ConfigError(Exception):
    """A configuration that cannot be served. `problems` has one line each: where, what and what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
