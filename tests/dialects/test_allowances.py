"""What providers tell of their limits in the headers of a reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.quota import Allowance, Allowances
from router.dialects.allowances import anthropic_allowances, openai_allowances, span
from router.dialects.mock.errors import rate_limit_headers
from router.dialects.openai import OpenAIDialect

DATE = b"Thu, 05 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("59.999s", 59.999),
        ("1h0m2.5s", 3602.5),
        ("1m30s", 90.0),
        ("12us", 12e-6),
        ("0s", 0.0),
        ("30", 30.0),
        ("0.5", 0.5),
        (" 2s ", 2.0),
        ("24h", 86_400.0),
    ],
)
def test_a_span_of_time_is_read_as_seconds(text: str, seconds: float) -> None:
    assert span(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "abc", "1x", "1..5s", "-5", "-5s", "nan", "inf", "1700000000", "25h", "1s2", "never", "١s٢"]
)
def test_what_is_no_span_is_unknown(text: str) -> None:
    assert span(text) is None


@given(st.text(max_size=20))
def test_no_text_is_too_strange_for_a_span(text: str) -> None:
    seconds = span(text)
    assert seconds is None or 0.0 <= seconds <= 86_400.0


def test_openais_headers_are_read() -> None:
    headers = {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-limit-tokens": b"150000",
        b"x-ratelimit-remaining-requests": b"59",
        b"x-ratelimit-remaining-tokens": b"149984",
        b"x-ratelimit-reset-requests": b"1s",
        b"x-ratelimit-reset-tokens": b"6m0s",
    }
    assert openai_allowances(headers) == Allowances(Allowance(60, 59, 1.0), Allowance(150_000, 149_984, 360.0))
    assert OpenAIDialect().allowances(headers) == openai_allowances(headers)


def test_the_mocks_headers_are_read() -> None:
    headers = {name.encode(): value.encode() for name, value in rate_limit_headers(500, 2.5)}
    assert openai_allowances(headers) == (Allowance(10_000, 0, 2.5), Allowance(2_000_000, 1_999_500, 0.015))


@pytest.mark.parametrize("headers", [{}, {b"x-ratelimit-limit-requests": b"60"}, {b"date": DATE}])
def test_without_a_word_on_what_remains_nothing_is_known(headers: dict[bytes, bytes]) -> None:
    assert openai_allowances(headers) is None
    assert anthropic_allowances(headers) is None


def test_what_remains_is_known_without_its_limit_and_its_reset() -> None:
    headers = {b"x-ratelimit-remaining-tokens": b"5"}
    assert openai_allowances(headers) == Allowances(None, Allowance(None, 5, None))


def test_retry_after_stands_in_for_a_missing_reset() -> None:
    headers = {b"x-ratelimit-remaining-requests": b"0", b"retry-after-ms": b"1500", b"retry-after": b"2"}
    assert openai_allowances(headers) == Allowances(Allowance(None, 0, 1.5))
    assert anthropic_allowances(
        {b"anthropic-ratelimit-requests-remaining": b"0", b"retry-after": b"2"}
    ) == Allowances(Allowance(None, 0, 2.0))  # fmt: skip


@pytest.mark.parametrize("value", [b"", b"many", b"-1", b"1e3", b"5, 5", b"9" * 40])
def test_what_is_no_number_tells_nothing(value: bytes) -> None:
    assert openai_allowances({b"x-ratelimit-remaining-requests": value}) == Allowances()
    assert anthropic_allowances({b"anthropic-ratelimit-requests-remaining": value}) is None


def anthropics(**values: str) -> dict[bytes, bytes]:
    """`requests_remaining="5"` for `anthropic-ratelimit-requests-remaining: 5`."""
    names = {name: name.replace("_", "-") for name in values}
    return {f"anthropic-ratelimit-{names[name]}".encode(): value.encode() for name, value in values.items()}


def test_anthropics_resets_are_relative_to_the_replys_own_date() -> None:
    headers = anthropics(
        requests_limit="50", requests_remaining="0", requests_reset="2026-11-05T10:00:30Z",
        tokens_limit="40000", tokens_remaining="39000", tokens_reset="2026-11-05T12:00:01+02:00",
    )  # fmt: skip
    assert anthropic_allowances({**headers, b"date": DATE}) == (Allowance(50, 0, 30.0), Allowance(40_000, 39_000, 1.0))


def test_of_the_kinds_of_tokens_the_scarcest_is_told() -> None:
    headers = anthropics(
        tokens_limit="100", tokens_remaining="60", input_tokens_limit="1000", input_tokens_remaining="500",
        output_tokens_limit="10", output_tokens_remaining="9",
    )  # fmt: skip
    assert anthropic_allowances(headers) == Allowances(None, Allowance(1000, 500, None))


@pytest.mark.parametrize(
    ("reset", "date", "seconds"),
    [
        ("2026-11-05T10:00:30Z", None, None),
        ("2026-11-05T10:00:30Z", b"yesterday", None),
        ("soon", DATE, None),
        ("2026-11-05T09:59:00Z", DATE, 0.0),
        ("2026-11-05T10:00:30", DATE, 30.0),
        ("2027-11-05T10:00:30Z", DATE, None),
    ],
)
def test_a_moment_that_cannot_be_placed_is_no_reset(reset: str, date: bytes | None, seconds: float | None) -> None:
    headers = anthropics(requests_remaining="1", requests_reset=reset)
    if date is not None:
        headers[b"date"] = date
    assert anthropic_allowances(headers) == Allowances(Allowance(None, 1, seconds))


@given(st.dictionaries(
    st.sampled_from([f"{kind}-{what}".encode() for kind in ("requests", "tokens") for what in ("remaining", "reset")]),
    st.binary(max_size=30),
))  # fmt: skip
def test_no_header_is_too_strange(values: dict[bytes, bytes]) -> None:
    openai = {b"x-ratelimit-" + b"-".join(reversed(name.split(b"-"))): value for name, value in values.items()}
    anthropic = {b"anthropic-ratelimit-" + name: value for name, value in values.items()}
    openai_allowances(openai)
    anthropic_allowances({**anthropic, b"date": DATE})
