import json

from bench.payload import TOKEN, event, reply_body, request_body


def test_a_request_has_2048_bytes_and_a_reply_600() -> None:
    assert (len(request_body()), len(request_body(stream_events=140)), len(reply_body())) == (2048, 2048, 600)


def test_a_stream_is_asked_for_by_its_number_of_events() -> None:
    request = json.loads(request_body(stream_events=140))
    assert (request["stream"], request["max_tokens"]) == (True, 140)
    assert "stream" not in json.loads(request_body())


def test_only_content_events_carry_the_mark_and_each_carries_it_once() -> None:
    assert event({"content": TOKEN.decode()}).count(TOKEN) == 1
    assert TOKEN not in event({"role": "assistant", "content": ""})
    assert TOKEN not in event({}, "stop")
