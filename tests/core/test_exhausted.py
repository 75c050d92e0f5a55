"""The answer where nobody could serve, by the rows of the table of errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson
import pytest

from router.core.errors import FailureKind, RouterError, UpstreamFailure
from router.core.exhausted import FailedAttempt, describe, exhausted_error
from router.core.filters import Reason
from router.core.load import Candidate
from router.core.plan import Rejection
from router.dialects.recognise import failure_of
from tests.core.making import POLICY, START, World, candidate, deployment, group, request, tier
from tests.core.playing import Play

GROUP = group(tier("east", "west"))
KEY = "sk-live-0123456789"
HOST = "secret-host.internal"


def after(*failures: UpstreamFailure, deadline: bool = False) -> RouterError:
    attempts = [FailedAttempt(name, told) for name, told in zip(("east", "west", "north"), failures, strict=False)]
    return exhausted_error(GROUP, attempts, (), START, deadline=deadline)


def unsent(*rejections: tuple[Candidate, Reason], deadline: bool = False) -> RouterError:
    return exhausted_error(GROUP, (), [Rejection(*each) for each in rejections], START, deadline=deadline)


def failed(kind: FailureKind, message: str = "failed", **facts: float) -> UpstreamFailure:
    return UpstreamFailure(kind, message, **facts)  # type: ignore[arg-type]


SERVER = failed(FailureKind.SERVER_ERROR, "500", status=500)


@pytest.mark.parametrize(
    ("last", "status", "code", "type"),
    [
        (failed(FailureKind.SERVER_ERROR, "503", status=503), 502, "upstream_error", "api_error"),
        (failed(FailureKind.BAD_REPLY, "sent no JSON"), 502, "upstream_error", "api_error"),
        (failed(FailureKind.NOT_FOUND, "404", status=404), 502, "upstream_error", "api_error"),
        (failed(FailureKind.QUOTA, "429", status=429), 502, "upstream_error", "api_error"),
        (failed(FailureKind.AUTH, "401", status=401), 502, "upstream_auth_error", "api_error"),
        (failed(FailureKind.AUTH, "403", status=403), 502, "upstream_auth_error", "api_error"),
        (failed(FailureKind.CONNECT), 502, "upstream_unreachable", "api_error"),
        (failed(FailureKind.DISCONNECTED), 502, "upstream_unreachable", "api_error"),
        (failed(FailureKind.PROTOCOL), 502, "upstream_unreachable", "api_error"),
        (failed(FailureKind.ATTEMPT_TIMEOUT), 504, "timeout", "timeout_error"),
        (failed(FailureKind.FIRST_TOKEN_TIMEOUT), 504, "timeout", "timeout_error"),
        (failed(FailureKind.IDLE_TIMEOUT), 504, "timeout", "timeout_error"),
        (failed(FailureKind.RATE_LIMITED, "429", status=429), 429, "rate_limit_exceeded", "rate_limit_error"),
    ],
)
def test_the_last_failure_decides_the_answer(last: UpstreamFailure, status: int, code: str, type: str) -> None:
    error = after(SERVER, last)
    assert (error.status, error.code, error.type) == (status, code, type)
    assert error.should_retry is False, "the router has tried enough, and no wait is known"
    assert error.retry_after is None
    assert error.body == b""
    assert error.message == f"gpt: 2 attempts: east 500, west {last.message}"


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_kind_of_failure_has_an_answer(kind: FailureKind) -> None:
    error = after(failed(kind))
    assert 400 <= error.status <= 599
    assert error.status not in (401, 403), "the router's credentials are not the client's"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"error": {"message": "bad n", "type": "x", "param": "n", "code": "y"}}, "invalid_request_error"),
        (409, {"error": {"message": "conflict", "type": "x", "param": None, "code": None}}, "invalid_request_error"),
        (422, {"error": {"message": "n is no number"}}, "invalid_request_error"),
        (400, {"error": {"message": "no", "code": "context_length_exceeded"}}, "context_length_exceeded"),
        (400, {"error": {"message": "no", "code": "content_filter"}}, "content_policy_violation"),
    ],
)
def test_upstreams_own_refusal_is_passed_through(status: int, body: Mapping[str, object], code: str) -> None:
    raw = orjson.dumps(body)
    error = after(SERVER, failure_of(status, {}, raw))
    assert (error.status, error.code, error.body) == (status, code, raw)
    assert error.should_retry is False


def test_a_refusal_without_a_word_is_put_in_our_own() -> None:
    error = after(failure_of(418, {}, b"<html>teapot</html>"))
    assert (error.status, error.body) == (418, b"")
    assert error.message == "gpt: 1 attempt: east 418"


def test_a_refusal_stays_one_when_the_time_has_run_out_meanwhile() -> None:
    assert after(failure_of(400, {}, b'{"error":{"message":"no"}}'), deadline=True).status == 400


def test_a_deadline_that_passed_between_attempts_is_a_timeout_that_tells_of_them() -> None:
    error = after(SERVER, deadline=True)
    assert (error.status, error.code) == (504, "timeout")
    assert error.message == "gpt: 1 attempt: east 500"


def limited(seconds: float | None) -> UpstreamFailure:
    return UpstreamFailure(FailureKind.RATE_LIMITED, "429", status=429, retry_after=seconds)


@pytest.mark.parametrize(
    ("failures", "retry_after", "should_retry"),
    [
        ((limited(7.0),), 7.0, None),
        ((limited(1.0), limited(60.0)), 1.0, None),
        ((limited(60.0), limited(1.0)), 1.0, None),
        ((limited(60.0), limited(None)), 60.0, None),
        ((SERVER, limited(3.0)), 3.0, None),
        ((limited(None),), None, False),
    ],
)
def test_after_429s_the_client_hears_when_the_first_is_free(
    failures: Sequence[UpstreamFailure], retry_after: float | None, should_retry: bool | None
) -> None:
    error = after(*failures)
    assert error.status == 429
    assert (error.retry_after, error.should_retry) == (retry_after, should_retry)


def down(name: str, seconds: float) -> tuple[Candidate, Reason]:
    place = candidate(name)
    place.load.breaker.cool(START, START + seconds, POLICY)
    return place, Reason.UNHEALTHY


def cooling(name: str, seconds: float, *, refused: bool = False) -> tuple[Candidate, Reason]:
    place = candidate(name)
    place.load.keys[0].cool(START, seconds, 300.0)
    place.load.keys[0].refused = refused
    return place, Reason.COOLDOWN


def other(reason: Reason) -> tuple[Candidate, Reason]:
    return candidate("other"), reason


@pytest.mark.parametrize(
    ("rejections", "status", "code", "wait"),
    [
        ([cooling("a", 9.0), cooling("b", 4.0)], 429, "rate_limit_exceeded", 4.0),
        ([cooling("a", 9.0), other(Reason.DISABLED)], 429, "rate_limit_exceeded", 9.0),
        ([down("a", 9.0), down("b", 4.0)], 503, "no_deployment_available", 4.0),
        ([down("a", 9.0), cooling("b", 4.0)], 503, "no_deployment_available", 4.0),
        ([cooling("a", 9.0, refused=True)], 503, "no_deployment_available", 9.0),
        ([cooling("a", 9.0), cooling("b", 4.0, refused=True)], 503, "no_deployment_available", 4.0),
        ([other(Reason.CAPABILITY), down("b", 4.0)], 503, "no_deployment_available", 4.0),
        ([other(Reason.CAPABILITY), other(Reason.DISABLED)], 400, "unsupported_operation", None),
        ([other(Reason.DISABLED)], 503, "no_deployment_available", None),
    ],
)
def test_where_nothing_could_be_sent_the_reasons_decide(
    rejections: Sequence[tuple[Candidate, Reason]], status: int, code: str, wait: float | None
) -> None:
    error = unsent(*rejections)
    assert (error.status, error.code) == (status, code)
    assert error.retry_after == (None if wait is None else pytest.approx(wait))
    assert error.message.startswith("gpt: ")
    if wait is not None:
        assert f"in {wait} s" in error.message


def test_while_a_trial_runs_clients_are_not_told_to_come_back_at_once() -> None:
    place, reason = down("a", 0.0)
    place.load.breaker.start(START)
    error = unsent((place, reason))
    assert error.status == 503
    assert error.retry_after == 1.0


def test_a_request_that_came_too_late_is_told_so() -> None:
    error = unsent(cooling("a", 9.0), deadline=True)
    assert (error.status, error.code, error.should_retry) == (504, "timeout", False)


def test_the_attempts_are_told_one_by_one() -> None:
    attempts = [
        FailedAttempt("east", failed(FailureKind.RATE_LIMITED, "429")),
        FailedAttempt("west", failed(FailureKind.ATTEMPT_TIMEOUT, "timeout after 5.0 s")),
    ]
    assert describe(attempts) == "2 attempts: east 429, west timeout after 5.0 s"
    assert describe(attempts[:1]) == "1 attempt: east 429"


@pytest.mark.parametrize("status", [401, 402, 403, 404, 408, 429, 500, 503])
def test_what_upstream_says_of_our_key_and_address_reaches_nobody(status: int) -> None:
    body = orjson.dumps({"error": {"message": f"Incorrect API key provided: {KEY} at https://{HOST}/v1"}})
    error = after(failure_of(status, {}, body), failure_of(status, {}, body))
    assert KEY not in error.message
    assert HOST not in error.message
    assert error.body == b""


def nothing_happens(world: World) -> None:
    """The deployments are there to be asked."""


def too_late(world: World) -> None:
    world.clock.advance(1e6)


def all_break(world: World) -> None:
    for each in world.store.candidates():
        each.load.breaker.cool(START, START + 9.0, POLICY)


@pytest.mark.parametrize(
    ("answer", "prepare", "expected"),
    [
        ("500", nothing_happens, "stop 502 upstream_error"),
        ("401", nothing_happens, "stop 502 upstream_auth_error"),
        ("429:9999", nothing_happens, "stop 429 rate_limit_exceeded"),
        ("connect", nothing_happens, "stop 502 upstream_unreachable"),
        ("ok", too_late, "stop 504 timeout"),
        ("ok", all_break, "stop 503 no_deployment_available"),
    ],
)
def test_a_played_request_ends_in_an_answer_without_secrets(
    answer: str, prepare: Callable[[World], None], expected: str
) -> None:
    places = [deployment(name, api_base=f"https://{HOST}/v1", api_keys=(f"{KEY}-{name}",)) for name in ("east", "west")]
    world = World(group(places, num_retries=1))
    prepare(world)
    played = Play(world, {"east": answer, "west": answer})
    assert played.run(request(deadline=START + 100.0))[-1] == expected
    assert played.error is not None
    shown = played.error.message + repr(played.error) + played.error.body.decode()
    assert KEY not in shown
    assert HOST not in shown


def test_after_a_refused_key_the_next_clients_are_not_told_of_a_rate_limit() -> None:
    world = World(group(tier("a")))
    assert Play(world, {"a": "401"}).run()[-1] == "stop 502 upstream_auth_error"
    assert Play(world, {"a": "401"}).run() == ["stop 503 no_deployment_available"]


def test_after_a_429_they_are() -> None:
    world = World(group(tier("a"), num_retries=0))
    Play(world, {"a": "429:9"}).run()
    played = Play(world, {})
    assert played.run() == ["stop 429 rate_limit_exceeded"]
    assert played.error is not None
    assert played.error.retry_after == pytest.approx(9.0)


def test_where_nothing_could_be_sent_anywhere_the_first_groups_reasons_are_told() -> None:
    world = World(
        group(tier("a"), fallbacks=("backup",)), group(tier("b", group="backup", enabled=False), name="backup")
    )
    world.load("a").keys[0].cool(START, 9.0, 300.0)
    played = Play(world, {})
    assert played.run() == ["stop 429 rate_limit_exceeded"]
    assert played.error is not None
    assert played.error.message.startswith("gpt: ")
    assert played.error.retry_after == pytest.approx(9.0)


def test_after_an_attempt_elsewhere_its_failure_is_told_and_not_the_first_groups_reasons() -> None:
    world = World(group(tier("a"), fallbacks=("backup",)), group(tier("b", group="backup"), name="backup"))
    world.load("a").keys[0].cool(START, 9.0, 300.0)
    assert Play(world, {"b": "400"}).run()[-1] == "stop 400 invalid_request_error"


def test_a_model_that_no_upstream_of_a_wildcard_knows_is_unknown() -> None:
    attempt = FailedAttempt("a", failure_of(404, {}, b""))
    error = exhausted_error(group(name="open/*"), [attempt], (), START, deadline=False)
    assert (error.status, error.code, error.param, error.should_retry) == (404, "model_not_found", "model", False)


def test_what_a_dialect_cannot_express_is_told_only_where_nobody_else_was_asked() -> None:
    body = b'{"error":{"message":"no tools here"}}'
    alone = UpstreamFailure(FailureKind.UNSUPPORTED, "no tools here", status=400, body=body)
    told = after(alone)
    assert (told.status, told.code, told.body) == (400, "unsupported_parameter", body)
    assert after(failed(FailureKind.SERVER_ERROR, "503"), alone).code == "upstream_error"
    assert after(alone, failed(FailureKind.SERVER_ERROR, "503")).code == "upstream_error"
