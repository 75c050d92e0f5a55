"""What a scripted step looks like, and when its pieces are sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects.mock.behaviour import Behaviour
from router.dialects.mock.errors import duration
from router.dialects.mock.playback import Answer, Ending, Playback, Send
from tests.dialects.mock.replying import body_of, chat, events_of, moments_of


@pytest.mark.parametrize(
    ("step", "status", "type_", "code", "words"),
    [
        ("400", 400, "invalid_request_error", None, "Bad Request"),
        ("400-context", 400, "invalid_request_error", "context_length_exceeded", "maximum context length is 8192"),
        ("400-policy", 400, "invalid_request_error", "content_policy_violation", "safety system"),
        ("400-filter", 400, "invalid_request_error", "content_filter", "content management policy"),
        ("401", 401, "invalid_request_error", "invalid_api_key", "Incorrect API key"),
        ("403", 403, "permission_error", "permission_denied", "not allowed"),
        ("404", 404, "invalid_request_error", "model_not_found", "`gpt-4o` does not exist"),
        ("429", 429, "requests", "rate_limit_exceeded", "Please try again in 1s"),
        ("429-bare", 429, "requests", "rate_limit_exceeded", "Rate limit reached for gpt-4o"),
        ("429-quota", 429, "insufficient_quota", "insufficient_quota", "exceeded your current quota"),
        ("500", 500, "server_error", None, "had an error"),
        ("503", 503, "server_error", None, "overloaded"),
        ("529", 529, "overloaded_error", None, "Overloaded"),
        ("599", 599, "server_error", None, "Status 599"),
    ],
)
def test_an_error_step_answers_in_openais_words(
    step: str, status: int, type_: str, code: str | None, words: str
) -> None:
    answer = chat(step=step)
    error = body_of(answer)["error"]
    assert answer.status == status
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == (type_, code)
    assert words in error["message"]


@pytest.mark.parametrize(
    ("step", "configured", "header"),
    [
        ("429", None, ("1", "1000")),
        ("429", 0.25, ("1", "250")),
        ("429", 20, ("20", "20000")),
        ("429-bare", 20, None),
        ("429-quota", 20, None),
        ("503", None, None),
        ("503", 3, ("3", "3000")),
        ("404", 3, None),
    ],
)
def test_retry_after_goes_with_429_and_where_set_with_5xx(
    step: str, configured: float | None, header: tuple[str, str] | None
) -> None:
    headers = dict(chat(Behaviour(retry_after=configured), step=step).headers)
    found = (headers["retry-after"], headers["retry-after-ms"]) if "retry-after" in headers else None
    assert found == header


@pytest.mark.parametrize("stream", [False, True])
def test_rate_limit_headers_tell_what_is_left(stream: bool) -> None:
    headers = dict(chat(Behaviour(rate_limit_headers=True), stream=stream).headers)
    assert headers["x-ratelimit-limit-requests"] == "10000"
    assert headers["x-ratelimit-remaining-requests"] == "9999"
    assert headers["x-ratelimit-remaining-tokens"] == str(2_000_000 - 9)
    assert not [name for name, _ in chat(stream=stream).headers if name.startswith("x-ratelimit")]


def test_rate_limit_headers_of_a_429_have_no_request_left_and_say_until_when() -> None:
    headers = dict(chat(Behaviour(rate_limit_headers=True, retry_after=90), step="429").headers)
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == "1m30s"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.006, "6ms"), (1, "1s"), (1.5, "1.5s"), (360, "6m0s"), (61.25, "1m1.25s")]
)
def test_time_spans_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("step", "ending", "sent"), [("hang", "hang", False), ("reset", "reset", False), ("garbage", "close", True)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_some_steps_have_no_head(step: str, ending: str, sent: bool, stream: bool) -> None:
    answer = chat(step=step, stream=stream)
    assert (answer.status, answer.ending, bool(answer.sends)) == (0, ending, sent)


@pytest.mark.parametrize(("step", "ending"), [("truncate", Ending.CLOSE), ("stall", Ending.HANG)])
def test_a_whole_reply_may_stop_halfway_through_what_it_promised(step: str, ending: Ending) -> None:
    answer, full = chat(step=step), chat()
    (half,) = answer.sends
    assert answer.ending is ending
    assert answer.length == full.length == len(full.sends[0].data)
    assert half.data == full.sends[0].data[: len(half.data)]
    assert 0 < len(half.data) < len(full.sends[0].data)


@pytest.mark.parametrize(("step", "ending"), [("truncate", Ending.CLOSE), ("stall", Ending.HANG)])
def test_a_stream_may_stop_after_some_content(step: str, ending: Ending) -> None:
    answer = chat(step=step, stream=True)
    events = events_of(answer)
    assert answer.ending is ending
    assert [event["choices"][0]["delta"].get("content") for event in events] == ["", "Hello", " from", " gpt-4o!"]


def test_an_error_may_come_with_a_200() -> None:
    assert chat(step="error").status == 200
    assert set(body_of(chat(step="error"))) == {"error"}
    assert [set(event) for event in events_of(chat(step="error", stream=True))] == [{"error"}]


def test_a_late_error_comes_in_the_stream_after_some_content_and_without_done() -> None:
    events = events_of(chat(step="late-error", stream=True))
    assert [("error" in event) for event in events] == [False, False, False, False, True]


def test_an_empty_success_has_no_content() -> None:
    assert body_of(chat(step="empty"))["choices"][0]["message"]["content"] == ""
    events = events_of(chat(step="empty", stream=True))
    assert not any(event["choices"][0]["delta"].get("content") for event in events[:-1])
    assert events[-1] == "[DONE]"


PACED = Behaviour(time_to_first_token=0.5, tokens_per_second=10, output_tokens=3)


def test_a_stream_opens_at_once_and_then_keeps_its_pace() -> None:
    assert moments_of(chat(PACED, stream=True)) == [0.0, 0.5, 0.6, 0.7, 0.7]


def test_a_whole_reply_comes_when_its_last_token_is_made() -> None:
    assert moments_of(chat(PACED)) == [0.7]


def test_errors_come_at_once() -> None:
    assert moments_of(chat(PACED, step="503")) == [0.0]


def test_an_empty_stream_ends_when_its_first_token_would_have_come() -> None:
    assert moments_of(chat(PACED, step="empty", stream=True)) == [0.0, 0.5]


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=20),
    st.lists(st.floats(0, 30), max_size=20),
)
def test_playback_hands_out_every_piece_once_in_order_and_never_early(gaps: list[float], looks: list[float]) -> None:
    sends = [Send(gap, bytes([i])) for i, gap in enumerate(gaps)]
    playback = Playback(Answer(200, (), None, sends), 100.0)
    moments = [100.0]
    for gap in gaps:
        moments.append(moments[-1] + gap)
    seen = b""
    for now in [*sorted(100 + look for look in looks), 1000.0]:
        seen += b"".join(playback.due(now))
        assert seen == bytes(range(sum(moment <= now for moment in moments[1:])))
    assert playback.ended
