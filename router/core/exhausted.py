"""The answer where every attempt has failed, or none could be made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from router.core.errors import FailureKind, RouterError, UpstreamFailure
from router.core.filters import Reason
from router.core.limits import UNKNOWN_WAIT
from router.core.plan import Rejection
from router.core.types import ModelGroup

_BUDGET_SPENT = "; not retried, since retries are at their budget for now"
LIMITS = (Reason.RPM, Reason.TPM, Reason.PARALLEL)


class FailedAttempt(NamedTuple):
    deployment: str
    failure: UpstreamFailure


_TIMEOUTS = (FailureKind.ATTEMPT_TIMEOUT, FailureKind.FIRST_TOKEN_TIMEOUT, FailureKind.IDLE_TIMEOUT)
_UNREACHABLE = (FailureKind.CONNECT, FailureKind.DISCONNECTED, FailureKind.PROTOCOL)
_UPSTREAMS_WORD = {
    FailureKind.CONTEXT_WINDOW: "context_length_exceeded",
    FailureKind.CONTENT_POLICY: "content_policy_violation",
    FailureKind.REJECTED: "invalid_request_error",
    FailureKind.UNSUPPORTED: "unsupported_parameter",
}


def exhausted_error(
    group: ModelGroup,
    failures: Sequence[FailedAttempt],
    rejections: Sequence[Rejection],
    now: float,
    *,
    deadline: bool,
    tokens: int = 1,
    denied: bool = False,
) -> RouterError:
    """One error for the whole request. `rejections` are the first group's, used where nothing was sent at all; `tokens`
    what the request was expected to take; `denied`: the retry budget had no room for another attempt."""
    if not failures:
        return _never_sent(group, rejections, now, deadline=deadline, tokens=tokens)
    tried = [attempt.failure for attempt in failures if attempt.failure.kind is not FailureKind.UNSUPPORTED]
    last = tried[-1] if tried else failures[-1].failure
    told = f"{group.name}: {describe(failures)}{_BUDGET_SPENT if denied else ''}"
    if last.kind in _UPSTREAMS_WORD:
        code = _UPSTREAMS_WORD[last.kind]
        message = last.message if last.body else told
        return RouterError(last.status or 400, code, message, body=last.body, should_retry=False)
    if deadline or last.kind in _TIMEOUTS:
        return RouterError(504, "timeout", told, type="timeout_error", should_retry=False)
    if last.kind is FailureKind.RATE_LIMITED:
        wait = _first_named(failures)
        again = False if wait is None else None
        return RouterError(
            429, "rate_limit_exceeded", told, type="rate_limit_error", retry_after=wait, should_retry=again
        )
    if last.kind is FailureKind.AUTH:
        return RouterError(502, "upstream_auth_error", told, type="api_error", should_retry=False)
    if last.kind is FailureKind.NOT_FOUND and "*" in group.name:
        return RouterError(404, "model_not_found", told, param="model", should_retry=False)
    code = "upstream_unreachable" if last.kind in _UNREACHABLE else "upstream_error"
    return RouterError(502, code, told, type="api_error", should_retry=False)


def describe(failures: Sequence[FailedAttempt]) -> str:
    """`2 attempts: east 429, west first token timeout after 5.0 s`."""
    attempts = ", ".join(f"{attempt.deployment} {attempt.failure.message}" for attempt in failures)
    return f"{len(failures)} attempt{'s' if len(failures) > 1 else ''}: {attempts}"


def _first_named(failures: Sequence[FailedAttempt]) -> float | None:
    """Seconds until the first of those that answered 429 is free again, where any of them said."""
    limited = [attempt.failure for attempt in failures if attempt.failure.kind is FailureKind.RATE_LIMITED]
    return min((failure.retry_after for failure in limited if failure.retry_after is not None), default=None)


def rate_limited(rejection: Rejection) -> bool:
    """Whether the candidate is sound, and only has had too much: by its limits, upstream's word or a 429."""
    if rejection.reason is Reason.COOLDOWN:
        return rejection.candidate.load.rate_limited
    return rejection.reason in LIMITS


def _never_sent(
    group: ModelGroup, rejections: Sequence[Rejection], now: float, *, deadline: bool, tokens: int
) -> RouterError:
    if deadline:
        return RouterError(
            504, "timeout", f"{group.name}: the time ran out before anything was sent", type="timeout_error",
            should_retry=False,
        )  # fmt: skip
    reasons = {rejection.reason for rejection in rejections}
    resting = [item for item in rejections if item.reason in (Reason.COOLDOWN, Reason.UNHEALTHY, *LIMITS)]
    if resting:
        # Nobody knows how long a half-open trial takes, nor when the first of those under way ends.
        wait = min(item.candidate.frees_at(now, tokens) for item in resting) - now or UNKNOWN_WAIT
        told = f"{group.name}: every deployment is resting after failures; the first is asked again in {wait:.1f} s"
        at_limit = any(item.reason in LIMITS for item in resting)
        if at_limit:
            told = f"{group.name}: every deployment is at its limit; the first is free again in {wait:.1f} s"
        if at_limit or all(rate_limited(item) for item in resting):
            return RouterError(429, "rate_limit_exceeded", told, type="rate_limit_error", retry_after=wait)
        return RouterError(503, "no_deployment_available", told, type="api_error", retry_after=wait)
    if Reason.CONTEXT_WINDOW in reasons:
        told = (
            f"{group.name}: the prompt and the output asked for are longer than the context window of every deployment"
        )
        return RouterError(400, "context_length_exceeded", told, param="messages", should_retry=False)
    if Reason.TAGS in reasons:
        told = f"{group.name}: no deployment of this model has the tags that the request asks for"
        return RouterError(400, "no_deployment_with_tags", told, param="tags")
    if Reason.CAPABILITY in reasons:
        told = f"{group.name}: no deployment of this model serves this kind of request"
        return RouterError(400, "unsupported_operation", told, param="model")
    return RouterError(
        503, "no_deployment_available", f"{group.name}: every deployment is disabled", type="api_error",
        should_retry=False,
    )  # fmt: skip
