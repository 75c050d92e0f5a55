"""The failure table, row by row: from what upstream sent to what becomes of the request and of the deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.retry import BACKOFF_MAX, VERDICTS, Action, Health, Verdict, backoff, is_no_fault, judge
from router.dialects.recognise import failure_of
from tests.core.making import START, request

ELSEWHERE, NEVER_SAME, GIVE_UP = Action.ELSEWHERE, Action.NEVER_SAME, Action.GIVE_UP
WINDOW, POLICY = Action.CONTEXT_WINDOW_FALLBACK, Action.CONTENT_POLICY_FALLBACK


def error(message: str = "no", type: str | None = None, code: Any = None, **more: Any) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": type, "param": None, "code": code} | more})


TOO_LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
TOO_LARGE = "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 50000."
FILTERED = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "action", "health"),
    [
        (408, {}, b"", FailureKind.SERVER_ERROR, ELSEWHERE, Health.FAILURE),
        (500, {}, error("The server had an error"), FailureKind.SERVER_ERROR, ELSEWHERE, Health.FAILURE),
        (502, {}, b"<html>Bad gateway</html>", FailureKind.SERVER_ERROR, ELSEWHERE, Health.FAILURE),
        (503, {b"retry-after": b"7"}, b"", FailureKind.SERVER_ERROR, ELSEWHERE, Health.FAILURE),
        (504, {}, b"", FailureKind.SERVER_ERROR, ELSEWHERE, Health.FAILURE),
        (529, {}, error("Overloaded", "overloaded_error"), FailureKind.SERVER_ERROR, ELSEWHERE, Health.FAILURE),
        (500, {}, error(TOO_LONG), FailureKind.SERVER_ERROR, ELSEWHERE, Health.FAILURE),  # status gates text
        (301, {}, b"", FailureKind.SERVER_ERROR, ELSEWHERE, Health.FAILURE),
        (429, {b"retry-after": b"7"}, b"", FailureKind.RATE_LIMITED, ELSEWHERE, Health.COOL_KEY),
        (429, {}, error(code="rate_limit_exceeded"), FailureKind.RATE_LIMITED, ELSEWHERE, Health.COOL_KEY),
        (429, {}, error(TOO_LARGE, "tokens", "rate_limit_exceeded"), FailureKind.CONTEXT_WINDOW, WINDOW, Health.NONE),
        (429, {}, error(code="insufficient_quota"), FailureKind.QUOTA, NEVER_SAME, Health.COOL_KEY_LONG),
        (429, {}, error(type="insufficient_quota"), FailureKind.QUOTA, NEVER_SAME, Health.COOL_KEY_LONG),
        (429, {}, error(code="billing_hard_limit_reached"), FailureKind.QUOTA, NEVER_SAME, Health.COOL_KEY_LONG),
        (401, {}, error(code="invalid_api_key"), FailureKind.AUTH, NEVER_SAME, Health.COOL_KEY_LONG),
        (402, {}, b"", FailureKind.QUOTA, NEVER_SAME, Health.COOL_KEY_LONG),
        (403, {}, error(type="permission_error"), FailureKind.AUTH, NEVER_SAME, Health.COOL_KEY_LONG),
        (404, {}, error(code="model_not_found"), FailureKind.NOT_FOUND, NEVER_SAME, Health.COOL_DEPLOYMENT_LONG),
        (404, {}, b"404 page not found", FailureKind.NOT_FOUND, NEVER_SAME, Health.COOL_DEPLOYMENT_LONG),
        (405, {}, b"", FailureKind.NOT_FOUND, NEVER_SAME, Health.COOL_DEPLOYMENT_LONG),
        (400, {}, error(code="context_length_exceeded"), FailureKind.CONTEXT_WINDOW, WINDOW, Health.NONE),
        (400, {}, error(TOO_LONG, code=400), FailureKind.CONTEXT_WINDOW, WINDOW, Health.NONE),
        (422, {}, error(TOO_LONG), FailureKind.CONTEXT_WINDOW, WINDOW, Health.NONE),
        (413, {}, b"", FailureKind.CONTEXT_WINDOW, WINDOW, Health.NONE),
        (400, {}, error(FILTERED, code="content_filter"), FailureKind.CONTENT_POLICY, POLICY, Health.NONE),
        (400, {}, error(code="content_policy_violation"), FailureKind.CONTENT_POLICY, POLICY, Health.NONE),
        (400, {}, error(FILTERED), FailureKind.CONTENT_POLICY, POLICY, Health.NONE),
        (400, {}, error("Invalid value", code="invalid_value"), FailureKind.REJECTED, GIVE_UP, Health.NONE),
        (400, {}, b"", FailureKind.REJECTED, GIVE_UP, Health.NONE),
        (409, {}, b"", FailureKind.REJECTED, GIVE_UP, Health.NONE),
        (415, {}, b"", FailureKind.REJECTED, GIVE_UP, Health.NONE),
        (422, {}, error("field required"), FailureKind.REJECTED, GIVE_UP, Health.NONE),
        (400, {}, error(code="string_above_max_length"), FailureKind.REJECTED, GIVE_UP, Health.NONE),  # no window error
    ],
)
def test_an_error_reply_becomes(
    status: int, headers: Mapping[bytes, bytes], body: bytes, kind: FailureKind, action: Action, health: Health
) -> None:
    failure = failure_of(status, headers, body)
    assert failure.kind is kind
    assert failure.status == status
    assert judge(failure) == Verdict(action, health)
    assert failure.retry_after == (7.0 if headers else None)


@pytest.mark.parametrize(
    ("kind", "action", "health"),
    [
        (FailureKind.CONNECT, ELSEWHERE, Health.CONNECTION_FAILURE),
        (FailureKind.DISCONNECTED, ELSEWHERE, Health.CONNECTION_FAILURE),
        (FailureKind.PROTOCOL, ELSEWHERE, Health.CONNECTION_FAILURE),
        (FailureKind.ATTEMPT_TIMEOUT, ELSEWHERE, Health.CONNECTION_FAILURE),
        (FailureKind.FIRST_TOKEN_TIMEOUT, ELSEWHERE, Health.CONNECTION_FAILURE),
        (FailureKind.IDLE_TIMEOUT, ELSEWHERE, Health.CONNECTION_FAILURE),
        (FailureKind.BAD_REPLY, ELSEWHERE, Health.FAILURE),
        (FailureKind.BROKEN_STREAM, Action.STOP, Health.FAILURE),
        (FailureKind.UNSUPPORTED, NEVER_SAME, Health.NONE),
    ],
)
def test_what_no_reply_tells_becomes(kind: FailureKind, action: Action, health: Health) -> None:
    assert judge(UpstreamFailure(kind, "it happened")) == Verdict(action, health)


def test_every_kind_of_failure_has_a_verdict() -> None:
    assert set(VERDICTS) == set(FailureKind)


@pytest.mark.parametrize("kind", list(FailureKind))
def test_after_the_first_byte_to_the_client_nothing_is_retried(kind: FailureKind) -> None:
    assert judge(UpstreamFailure(kind, "it happened", sent_bytes=True)).action is Action.STOP


@pytest.mark.parametrize("kind", [FailureKind.DISCONNECTED, FailureKind.IDLE_TIMEOUT, FailureKind.BAD_REPLY])
def test_a_stream_that_broke_is_a_failure_but_none_to_connect(kind: FailureKind) -> None:
    assert judge(UpstreamFailure(kind, "it broke", sent_bytes=True)).health is Health.FAILURE


@pytest.mark.parametrize("kind", [FailureKind.CONTENT_POLICY, FailureKind.CONTEXT_WINDOW])
def test_a_refusal_in_the_middle_of_a_stream_is_no_fault_of_the_deployment(kind: FailureKind) -> None:
    assert judge(UpstreamFailure(kind, "filtered", sent_bytes=True)).health is Health.NONE


@pytest.mark.parametrize(
    ("kind", "deadline", "hurried", "attempts", "sent_bytes", "no_fault"),
    [
        (FailureKind.ATTEMPT_TIMEOUT, START + 5.0, False, 1, False, False),
        (FailureKind.ATTEMPT_TIMEOUT, START + 5.0, False, 2, False, True),
        (FailureKind.ATTEMPT_TIMEOUT, START + 5.0, True, 1, False, True),
        (FailureKind.ATTEMPT_TIMEOUT, START + 4.0, True, 2, False, False),
        (FailureKind.ATTEMPT_TIMEOUT, START + 4.0, False, 1, True, True),
        (FailureKind.FIRST_TOKEN_TIMEOUT, START + 5.0, True, 2, False, False),
        (FailureKind.SERVER_ERROR, START + 5.0, True, 2, True, False),
    ],
)
def test_what_a_deadline_cut_off_is_a_fault_only_where_the_deployment_had_all_the_time(
    kind: FailureKind, deadline: float, hurried: bool, attempts: int, sent_bytes: bool, no_fault: bool
) -> None:
    failure, asked = UpstreamFailure(kind, "it", sent_bytes=sent_bytes), request(deadline=START + 5.0, hurried=hurried)
    assert is_no_fault(failure, deadline, asked, attempts) is no_fault


@pytest.mark.parametrize(("status", "blamed"), [(401, True), (403, False), (404, False), (405, True), (500, True)])
def test_a_model_that_the_client_named_is_not_the_deployments_fault(status: int, blamed: bool) -> None:
    verdict = judge(failure_of(status, {}, b""), client_named=True)
    assert (verdict.health is not Health.NONE) == blamed
    assert verdict.action is judge(failure_of(status, {}, b"")).action


@pytest.mark.parametrize(
    ("retry", "longest"),
    [(0, 0.2), (1, 0.4), (2, 0.8), (3, 1.6), (4, 3.2), (5, 6.4), (6, BACKOFF_MAX), (7, 8.0), (100, 8.0)],
)
def test_backoff_doubles_up_to_eight_seconds_with_full_jitter(retry: int, longest: float) -> None:
    assert backoff(retry, 0.0) == 0.0
    assert backoff(retry, 0.5) == pytest.approx(longest / 2)
    assert backoff(retry, 1.0) == pytest.approx(longest)
