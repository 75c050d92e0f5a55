"""What real servers' errors mean."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import FailureKind
from router.core.types import ErrorPatterns
from router.dialects.recognise import (
    CONTENT_POLICY_CODES,
    CONTENT_POLICY_TEXTS,
    CONTEXT_WINDOW_CODES,
    CONTEXT_WINDOW_TEXTS,
    LONGEST_RETRY_AFTER,
    QUOTA_CODES,
    TEXT_STATUSES,
    ErrorBody,
    failure_of,
    is_error,
    kind_of,
    read_again,
    read_error,
    retry_after,
)

WINDOW, POLICY = FailureKind.CONTEXT_WINDOW, FailureKind.CONTENT_POLICY


def wrapped(**error: Any) -> dict[str, Any]:
    return {"error": error}


REAL: dict[str, tuple[int, Any, FailureKind]] = {
    "OpenAI: context length": (400, wrapped(
        message="This model's maximum context length is 8192 tokens. However, your messages resulted in 9011 tokens. "
        "Please reduce the length of the messages.", type="invalid_request_error", param="messages",
        code="context_length_exceeded"), WINDOW),
    "OpenAI: responses and newer models": (400, wrapped(
        message="Your input exceeds the context window of this model. Please adjust your input and try again.",
        type="invalid_request_error", param="input", code="context_length_exceeded"), WINDOW),
    "OpenAI: a field that is too long": (400, wrapped(
        message="Invalid 'user': string too long. Expected a string with maximum length 64, but got 70 instead.",
        type="invalid_request_error", param="user", code="string_above_max_length"), FailureKind.REJECTED),
    "OpenAI: a field that is too long, in words like those of a window": (400, wrapped(
        message="Invalid 'metadata': too many tokens, please reduce the length.", type="invalid_request_error",
        param="metadata", code="string_above_max_length"), FailureKind.REJECTED),
    "OpenAI: wrong key": (401, wrapped(
        message="Incorrect API key provided: sk-12***89.", type="invalid_request_error", param=None,
        code="invalid_api_key"), FailureKind.AUTH),
    "OpenAI: quota": (429, wrapped(
        message="You exceeded your current quota, please check your plan and billing details.",
        type="insufficient_quota", param=None, code="insufficient_quota"), FailureKind.QUOTA),
    "OpenAI: rate limit": (429, wrapped(
        message="Rate limit reached for gpt-4o in organization org-x on requests per min (RPM): Limit 3, Used 3.",
        type="requests", param=None, code="rate_limit_exceeded"), FailureKind.RATE_LIMITED),
    "OpenAI: one request too large": (429, wrapped(
        message="Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested "
        "31000. The input or output tokens must be reduced in order to run successfully.", type="tokens", param=None,
        code="rate_limit_exceeded"), WINDOW),
    "OpenAI: unknown model": (404, wrapped(
        message="The model `gpt-9` does not exist or you do not have access to it.", type="invalid_request_error",
        param=None, code="model_not_found"), FailureKind.NOT_FOUND),
    "OpenAI: content policy": (400, wrapped(
        message="Your request was rejected as a result of our safety system.", type="invalid_request_error",
        param=None, code="content_policy_violation"), POLICY),
    "OpenAI: server error": (500, wrapped(
        message="The server had an error while processing your request. Sorry about that!", type="server_error",
        param=None, code=None), FailureKind.SERVER_ERROR),
    "Azure: content filter": (400, wrapped(
        message="The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
        "Please modify your prompt and retry.", type=None, param="prompt", code="content_filter", status=400,
        innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}}),
        POLICY),
    "Azure: inner code only": (400, wrapped(
        message="no", code="BadRequest", innererror={"code": "ResponsibleAIPolicyViolation"}), POLICY),
    "Azure: no such deployment": (404, wrapped(
        code="DeploymentNotFound", message="The API deployment for this resource does not exist."),
        FailureKind.NOT_FOUND),
    "Azure: rate limit": (429, wrapped(
        code="429", message="Requests have exceeded call rate limit of your current OpenAI S0 pricing tier."),
        FailureKind.RATE_LIMITED),
    "Azure: gateway": (401, {"statusCode": 401, "message": "Unauthorized. Access token is missing."},
        FailureKind.AUTH),
    "vLLM: context length": (400, {
        "object": "error", "message": "This model's maximum context length is 4096 tokens. However, you requested "
        "5000 tokens in the messages, Please reduce the length of the messages.", "type": "BadRequestError",
        "param": None, "code": 400}, WINDOW),
    "vLLM: another wording": (400, wrapped(
        message="The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
        type="BadRequestError", param=None, code=400), WINDOW),
    "vLLM: unknown model": (404, {
        "object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "param": None,
        "code": 404}, FailureKind.NOT_FOUND),
    "vLLM: bad parameter": (400, {
        "object": "error", "message": "temperature must be non-negative, got -1.0.", "type": "BadRequestError",
        "param": None, "code": 400}, FailureKind.REJECTED),
    "FastAPI: validation": (422, {"detail": [{"loc": ["body", "n"], "msg": "not an integer"}]}, FailureKind.REJECTED),
    "FastAPI: no such path": (404, {"detail": "Not Found"}, FailureKind.NOT_FOUND),
    "Ollama: unknown model": (404, wrapped(
        message="model 'x' not found", type="api_error", param=None, code=None), FailureKind.NOT_FOUND),
    "Ollama: a string": (400, {"error": "invalid options: n"}, FailureKind.REJECTED),
    "Ollama: a string, on the window": (400, {"error": "input length exceeds the context length"}, WINDOW),
    "llama.cpp: context size": (400, wrapped(
        code=400, message="the request exceeds the available context size, try increasing it",
        type="exceed_context_size_error"), WINDOW),
    "TGI: too many tokens": (422, {
        "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` "
        "tokens and 200 `max_new_tokens`", "error_type": "validation"}, WINDOW),
    "TGI: inputs alone": (422, {
        "error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 1500",
        "error_type": "validation"}, WINDOW),
    "TGI: overloaded": (429, {"error": "Model is overloaded", "error_type": "overloaded"}, FailureKind.RATE_LIMITED),
    "Anthropic: prompt is too long": (400, {
        "type": "error", "error": {"type": "invalid_request_error",
                                   "message": "prompt is too long: 210000 tokens > 200000 maximum"}}, WINDOW),
    "Anthropic: overloaded": (529, {
        "type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, FailureKind.SERVER_ERROR),
    "nginx: body too large": (413, "<html>413 Request Entity Too Large</html>", WINDOW),
    "nginx: bad gateway": (502, "<html>502 Bad Gateway</html>", FailureKind.SERVER_ERROR),
}  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), REAL.values(), ids=REAL)
def test_a_real_error_is_recognised(status: int, body: Any, kind: FailureKind) -> None:
    raw = body.encode() if isinstance(body, str) else orjson.dumps(body)
    assert failure_of(status, {}, raw).kind is kind


@pytest.mark.parametrize("status", TEXT_STATUSES)
@pytest.mark.parametrize(
    ("texts", "kind"), [(CONTEXT_WINDOW_TEXTS, WINDOW), (CONTENT_POLICY_TEXTS, POLICY)], ids=["window", "policy"]
)
def test_every_known_wording_is_found_in_any_case(status: int, texts: list[str], kind: FailureKind) -> None:
    for wording in texts:
        assert wording == wording.lower()
        for text in (wording, wording.upper(), f"Sorry: {wording}, so no."):
            if status == 413 and kind is POLICY:
                continue
            assert kind_of(status, ErrorBody("", "", text)) is kind


def test_a_body_too_large_is_a_window_error_whatever_it_says() -> None:
    assert kind_of(413, ErrorBody("", "", "no")) is WINDOW


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("wording", [CONTEXT_WINDOW_TEXTS[0], CONTENT_POLICY_TEXTS[0]])
def test_on_any_other_status_the_wording_says_nothing(status: int, wording: str) -> None:
    assert kind_of(status, ErrorBody("", "", wording)) is kind_of(status, ErrorBody("", "", ""))


@pytest.mark.parametrize(
    ("codes", "kind"),
    [(CONTEXT_WINDOW_CODES, WINDOW), (CONTENT_POLICY_CODES, POLICY)],
    ids=["window", "policy"],
)
@pytest.mark.parametrize("status", [400, 403, 422, 429, 500])
def test_a_structured_code_counts_on_any_status_and_in_any_case(
    codes: frozenset[str], kind: FailureKind, status: int
) -> None:
    for code in codes:
        assert kind_of(status, ErrorBody(code, "", "")) is kind
        assert kind_of(status, ErrorBody(code.upper(), "", "")) is kind


@pytest.mark.parametrize("code", sorted(QUOTA_CODES))
def test_a_quota_is_told_apart_from_a_rate_limit_by_code_or_type(code: str) -> None:
    assert kind_of(429, ErrorBody(code, "", "")) is FailureKind.QUOTA
    assert kind_of(429, ErrorBody("", code, "")) is FailureKind.QUOTA
    assert kind_of(400, ErrorBody(code, "", "")) is FailureKind.REJECTED


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, ErrorBody("c", "t", "m")),
        ({"error": {"message": "m", "code": 400}}, ErrorBody("400", "", "m")),
        ({"error": {"message": None, "type": None, "code": None}}, ErrorBody("", "", "")),
        ({"error": "m"}, ErrorBody("", "", "m")),
        ({"error": None, "message": "m"}, ErrorBody("", "", "m")),
        ({"object": "error", "message": "m", "code": 400}, ErrorBody("400", "", "m")),
        ({"detail": "m"}, ErrorBody("", "", "m")),
        ({"error": {"innererror": {"code": "inner"}, "code": "outer"}}, ErrorBody("inner", "", "")),
        ({"error": {"innererror": "text", "code": "outer"}}, ErrorBody("outer", "", "")),
        ({}, ErrorBody("", "", "")),
        ([], ErrorBody("", "", "")),
        ("m", ErrorBody("", "", "m")),
        (None, ErrorBody("", "", "")),
        ({"error": 5}, ErrorBody("", "", "")),
        ({"error": [1]}, ErrorBody("", "", "")),
    ],
)
def test_errors_come_in_many_shapes(document: Any, expected: ErrorBody) -> None:
    assert read_error(document) == expected


@given(st.integers(100, 999), st.binary(max_size=30) | st.recursive(
    st.none() | st.booleans() | st.integers(-9, 999) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from(["error", "message", "code", "type", "innererror", "detail"]), inner, max_size=4),
).map(orjson.dumps))  # fmt: skip
def test_no_error_body_whatsoever_raises(status: int, body: bytes) -> None:
    told = failure_of(status, {}, body)
    assert told.message
    if told.body:
        assert isinstance(orjson.loads(told.body)["error"]["message"], str)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"error": {"message": "m"}}, True),
        ({"error": "m", "choices": []}, True),
        ({"object": "error", "message": "m"}, True),
        ({"error": None, "object": "chat.completion"}, False),
        ({"error": {}}, False),
        ({"choices": []}, False),
        ({}, False),
    ],
)
def test_an_error_is_told_by_its_own_member_or_by_what_the_document_says_it_is(document: Any, expected: bool) -> None:
    assert is_error(document) is expected


SHOWN_AS_IT_CAME = orjson.dumps(wrapped(message="n is bad", type="t", param="n", code="c", extra=1) | {"id": "x"})


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (SHOWN_AS_IT_CAME, orjson.loads(SHOWN_AS_IT_CAME)),
        (b'{"error":"n is bad"}', wrapped(message="n is bad", type=None, param=None, code=None)),
        (
            b'{"object":"error","message":"n is bad","type":"BadRequestError","param":null,"code":400}',
            wrapped(message="n is bad", type="BadRequestError", param=None, code="400"),
        ),
        (b'{"detail":"n is bad"}', wrapped(message="n is bad", type=None, param=None, code=None)),
    ],
)
def test_a_refusal_reaches_the_client_in_its_own_dialect(body: bytes, shown: Any) -> None:
    told = failure_of(400, {}, body)
    assert told.message == "n is bad"
    assert orjson.loads(told.body) == shown


def test_a_refusal_in_openais_shape_passes_byte_for_byte() -> None:
    assert failure_of(400, {}, SHOWN_AS_IT_CAME).body == SHOWN_AS_IT_CAME


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500])
def test_what_is_not_the_clients_fault_is_not_shown_to_it(status: int) -> None:
    told = failure_of(status, {}, b'{"error":{"message":"Incorrect API key provided: sk-secret"}}')
    assert told.body == b""
    assert told.message == str(status)


DATE = b"Sun, 22 Nov 2026 12:00:00 GMT"
LATER = b"Sun, 22 Nov 2026 12:00:30 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after": b"0"}, 0.0),
        ({b"retry-after": b"1.5"}, 1.5),
        ({b"retry-after-ms": b"250"}, 0.25),
        ({b"retry-after-ms": b"250", b"retry-after": b"1"}, 0.25),
        ({b"retry-after": LATER, b"date": DATE}, 30.0),
        ({b"retry-after": DATE, b"date": LATER}, None),
        ({b"retry-after": LATER}, None),
        ({b"retry-after": b""}, None),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"-5"}, None),
        ({b"retry-after": b"5, 7"}, None),
        ({b"retry-after": b"\xb2"}, None),
        ({b"retry-after": b"\xff\xfe"}, None),
        ({b"retry-after-ms": b"nan"}, None),
        ({b"retry-after-ms": b"inf"}, None),
        ({b"retry-after-ms": b"-1"}, None),
        ({b"retry-after": b"1e999"}, None),
        ({b"retry-after": b"1e300"}, LONGEST_RETRY_AFTER),
        ({b"retry-after": b"99999999999"}, LONGEST_RETRY_AFTER),
        ({b"retry-after": b"86400"}, 86_400.0),
        ({b"retry-after": LATER, b"date": b"rubbish"}, None),
    ],
)
def test_retry_after_in_every_form(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


NAMES = st.sampled_from([b"retry-after", b"retry-after-ms", b"date"])


@given(st.dictionaries(NAMES, st.binary(max_size=12) | st.text("0123456789.eE+-:, GMTSunNov").map(str.encode)))
def test_no_header_whatsoever_raises(headers: dict[bytes, bytes]) -> None:
    seconds = retry_after(headers)
    assert seconds is None or 0.0 <= seconds <= LONGEST_RETRY_AFTER


@pytest.mark.parametrize("status", [403, 404])
def test_a_model_that_is_not_there_is_told_by_its_code_whatever_the_status(status: int) -> None:
    body = b'{"error":{"message":"Project does not have access to model","code":"model_not_found","type":"x"}}'
    assert failure_of(status, {}, body).kind is FailureKind.NOT_FOUND


OWN = ErrorPatterns(context_window=("prompt exceeds our limit",), content_policy=("guard says no",))


def read_with_own(status: int, body: bytes) -> FailureKind:
    return read_again(failure_of(status, {}, body), body, OWN).kind


@pytest.mark.parametrize("status", TEXT_STATUSES)
@pytest.mark.parametrize(("text", "kind"), [("The Prompt exceeds our LIMIT of 9.", WINDOW), ("Guard says NO", POLICY)])
def test_a_configured_text_tells_what_the_status_does_not(status: int, text: str, kind: FailureKind) -> None:
    told = WINDOW if status == 413 else kind  # that status says enough
    assert read_with_own(status, orjson.dumps(wrapped(message=text))) is told
    assert read_with_own(status, text.encode()) is told, "even where the body is no JSON"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_configured_text_says_nothing_with_another_status(status: int) -> None:
    body = orjson.dumps(wrapped(message="guard says no"))
    assert read_with_own(status, body) is failure_of(status, {}, body).kind


def test_a_structured_code_goes_before_a_configured_text() -> None:
    body = orjson.dumps(wrapped(message="guard says no", code="context_length_exceeded"))
    assert read_with_own(400, body) is WINDOW


def test_an_error_that_no_configured_text_fits_stays_what_it_was() -> None:
    body = orjson.dumps(wrapped(message="temperature must be below 2"))
    known = failure_of(400, {}, body)
    again = read_again(failure_of(400, {}, body), body, OWN)
    assert (again.kind, again.message, again.body) == (FailureKind.REJECTED, known.message, known.body)
