"""Failure facts → verdicts: the one table that says what a failure means for the request and for the deployment."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import RouteRequest

BACKOFF_BASE = 0.2
BACKOFF_MAX = 8.0


class Action(StrEnum):
    """What becomes of the request."""

    ELSEWHERE = "elsewhere"  # another candidate at once; with none left the same one after backoff
    NEVER_SAME = "never_same"  # another candidate; never this one again
    CONTEXT_WINDOW_FALLBACK = "context_window_fallback"
    CONTENT_POLICY_FALLBACK = "content_policy_fallback"
    GIVE_UP = "give_up"  # upstream's answer is the answer
    STOP = "stop"  # the client has had bytes: an in-band error, and the end


class Health(StrEnum):
    """What becomes of the deployment."""

    NONE = "none"
    FAILURE = "failure"  # counts for the breaker; a `retry-after` cools it for that long
    CONNECTION_FAILURE = "connection_failure"  # the same, and `allowed_fails` in a row open the breaker
    COOL_KEY = "cool_key"  # the key rests for `retry-after`, else 5 s doubling
    COOL_KEY_LONG = "cool_key_long"  # the key rests for the longest cooldown
    COOL_DEPLOYMENT_LONG = "cool_deployment_long"


BREAKER_FAILURES = (Health.FAILURE, Health.CONNECTION_FAILURE)
"""Those that the breaker counts."""


class Verdict(NamedTuple):
    action: Action
    health: Health


VERDICTS: Mapping[FailureKind, Verdict] = MappingProxyType(
    {
        FailureKind.CONNECT: Verdict(Action.ELSEWHERE, Health.CONNECTION_FAILURE),
        FailureKind.DISCONNECTED: Verdict(Action.ELSEWHERE, Health.CONNECTION_FAILURE),
        FailureKind.PROTOCOL: Verdict(Action.ELSEWHERE, Health.CONNECTION_FAILURE),
        FailureKind.ATTEMPT_TIMEOUT: Verdict(Action.ELSEWHERE, Health.CONNECTION_FAILURE),
        FailureKind.FIRST_TOKEN_TIMEOUT: Verdict(Action.ELSEWHERE, Health.CONNECTION_FAILURE),
        FailureKind.IDLE_TIMEOUT: Verdict(Action.ELSEWHERE, Health.CONNECTION_FAILURE),
        FailureKind.SERVER_ERROR: Verdict(Action.ELSEWHERE, Health.FAILURE),
        FailureKind.RATE_LIMITED: Verdict(Action.ELSEWHERE, Health.COOL_KEY),
        FailureKind.QUOTA: Verdict(Action.NEVER_SAME, Health.COOL_KEY_LONG),
        FailureKind.AUTH: Verdict(Action.NEVER_SAME, Health.COOL_KEY_LONG),
        FailureKind.NOT_FOUND: Verdict(Action.NEVER_SAME, Health.COOL_DEPLOYMENT_LONG),
        FailureKind.CONTEXT_WINDOW: Verdict(Action.CONTEXT_WINDOW_FALLBACK, Health.NONE),
        FailureKind.CONTENT_POLICY: Verdict(Action.CONTENT_POLICY_FALLBACK, Health.NONE),
        FailureKind.UNSUPPORTED: Verdict(Action.NEVER_SAME, Health.NONE),
        FailureKind.REJECTED: Verdict(Action.GIVE_UP, Health.NONE),
        FailureKind.BAD_REPLY: Verdict(Action.ELSEWHERE, Health.FAILURE),
        FailureKind.BROKEN_STREAM: Verdict(Action.STOP, Health.FAILURE),
    }
)


def judge(failure: UpstreamFailure, *, client_named: bool = False) -> Verdict:
    """The verdict on one failed attempt. After the first byte to the client nothing is retried, whatever the kind.

    `client_named`: the client chose the upstream model, through a wildcard. That it does not exist, or is not ours to
    use, is then no fault of the deployment.
    """
    verdict = VERDICTS[failure.kind]
    if client_named and failure.status in (403, 404):
        verdict = Verdict(verdict.action, Health.NONE)
    if not failure.sent_bytes:
        return verdict
    health = Health.FAILURE if verdict.health is Health.CONNECTION_FAILURE else verdict.health
    return Verdict(Action.STOP, health)


def is_no_fault(failure: UpstreamFailure, deadline: float, request: RouteRequest, attempts: int) -> bool:
    """Whether a failure says nothing about the deployment: the request's deadline cut it off, which its client had
    chosen or earlier attempts had used up; or the client asked for so much, or read it so slowly, that a stream in
    good health took too long. `deadline`: the attempt's, in clock seconds; `attempts`: the request's so far, with
    this one."""
    if failure.kind is not FailureKind.ATTEMPT_TIMEOUT:
        return False
    cut_short = deadline >= request.deadline and (request.hurried or attempts > 1)
    return failure.sent_bytes or cut_short


def backoff(retry: int, jitter: float) -> float:
    """Seconds to wait before the `retry`-th repeat (from 0): full jitter over 0.2 s · 2ⁿ, at most 8 s.

    `jitter` is uniform in [0, 1). Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return jitter * min(BACKOFF_BASE * 2.0**retry, BACKOFF_MAX)
