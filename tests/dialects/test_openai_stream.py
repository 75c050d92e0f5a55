"""OpenAI's stream as transcripts: each one whole, byte by byte, and cut in two at every byte."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import FailureKind
from router.core.types import Usage
from router.dialects.openai_stream import OpenAIStream
from router.dialects.usage import read_usage
from tests.dialects.streaming import (
    COUNTED,
    DONE,
    ERROR,
    HELLO,
    ROLE,
    STOP,
    USAGE,
    WORLD,
    Told,
    at,
    chunk,
    cuts,
    decode,
    delta,
    event,
)


class Case(NamedTuple):
    """`sent` is upstream's stream, `got` the client's. A clean end unless `failure` or `finished` say otherwise."""

    sent: bytes
    got: bytes
    usage: Usage | None = None
    wants: bool = False
    started: bool = True
    finished: bool = True
    failure: FailureKind | None = None

    @property
    def told(self) -> Told:
        return Told(self.got, self.started, self.finished, self.failure, self.usage)


def crlf(stream: bytes) -> bytes:
    return stream.replace(b"\n", b"\r\n")


TALK = ROLE + HELLO + WORLD + STOP
IN_BOTH = event(chunk(delta(finish="stop"), usage={"prompt_tokens": 3, "completion_tokens": 2}))
NULLS = [event(chunk(delta(text, finish), usage=None)) for text, finish in (("a", None), ("b", None), (None, "stop"))]
SPACED = b'data: {"id": "c", "choices": [ {"index": 0, "delta": {"content": "a"}, "finish_reason": null} ]}\n\n'
SPACED_STOP = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason" : "stop"}]}\n\n'
SPACED_USAGE = b'data: {"choices": [ ], "usage"  :  {"prompt_tokens": 3, "completion_tokens": 2}}\n\n'
SAYS_DONE = event(chunk(delta("data: [DONE]\n\n")))
SAYS_WORDS = event(chunk(delta('"usage":{"error":"choices"} [DONE]')))
TOOL = event(chunk(delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": '{"a'}}])))
TEXT = event({"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": "hi", "finish_reason": None}]})
TEXT_STOP = event({"id": "c", "choices": [{"index": 0, "text": "", "finish_reason": "length"}]})
FILTERS = event({"id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
NO_CHOICES = {"id": "c", "object": "chat.completion.chunk"}
WINDOW_ERROR = event({"error": {"message": "maximum context length is 8192 tokens", "code": 400}})
VLLM_ERROR = event({"object": "error", "message": "it fell over", "type": "InternalServerError", "code": 500})

CASES = {
    "a plain stream": Case(TALK + DONE, TALK + DONE),
    "usage unasked is taken out": Case(TALK + USAGE + DONE, TALK + DONE, COUNTED),
    "usage asked for stays": Case(TALK + USAGE + DONE, TALK + USAGE + DONE, COUNTED, wants=True),
    "usage beside the last content stays": Case(ROLE + HELLO + IN_BOTH + DONE, ROLE + HELLO + IN_BOTH + DONE, COUNTED),
    "usage null everywhere": Case(b"".join(NULLS) + USAGE + DONE, b"".join(NULLS) + DONE, COUNTED),
    "usage in every chunk, the last one counts": Case(
        event(chunk(delta("a"), usage={"prompt_tokens": 3, "completion_tokens": 1})) + USAGE + DONE,
        event(chunk(delta("a"), usage={"prompt_tokens": 3, "completion_tokens": 1})) + USAGE + DONE,
        COUNTED,
        wants=True,
    ),
    "a usage chunk without choices gets them": Case(
        TALK + event({"id": "c", "usage": {"prompt_tokens": 3, "completion_tokens": 2}}) + DONE,
        TALK + event({"id": "c", "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "choices": []}) + DONE,
        COUNTED,
        wants=True,
    ),
    "CRLF": Case(crlf(TALK + USAGE + DONE), TALK + DONE, COUNTED),
    "CR": Case((TALK + DONE).replace(b"\n", b"\r"), TALK + DONE),
    "mixed line ends": Case(crlf(ROLE) + HELLO + WORLD.replace(b"\n", b"\r") + crlf(STOP) + DONE, TALK + DONE),
    "LF and CRLF in one event": Case(HELLO[:-1] + b"\r\n" + STOP + DONE, HELLO + STOP + DONE),
    "comments": Case(b": hi\n\n" + ROLE + HELLO + b": ping\n\n" + STOP + b":\n\n" + DONE, ROLE + HELLO + STOP + DONE),
    "a comment inside an event": Case(b": hi\n" + HELLO + STOP + DONE, HELLO + STOP + DONE),
    "event and id lines": Case(b"event: chunk\nid: 7\n" + HELLO + b"retry: 3\n\n" + STOP + DONE, HELLO + STOP + DONE),
    "data without a space": Case((HELLO + STOP + DONE).replace(b"data: ", b"data:"), HELLO + STOP + DONE),
    "data in several lines": Case(
        HELLO.replace(b',"choices"', b'\ndata: ,"choices"').replace(b"[{", b"[\ndata:{") + STOP + DONE,
        HELLO + STOP + DONE,
    ),
    "blank lines between events": Case(b"\n\n" + HELLO + b"\n" + WORLD + b"\n\n\n" + STOP + DONE,
                                       HELLO + WORLD + STOP + DONE),
    "JSON with spaces": Case(SPACED + SPACED + SPACED_STOP + DONE, SPACED + SPACED + SPACED_STOP + DONE),
    "usage with spaces": Case(SPACED + SPACED_STOP + SPACED_USAGE + DONE, SPACED + SPACED_STOP + DONE, COUNTED),
    "[DONE] in the text": Case(HELLO + SAYS_DONE + STOP + DONE, HELLO + SAYS_DONE + STOP + DONE),
    "our own words in the text": Case(HELLO + SAYS_WORDS * 2 + STOP + DONE, HELLO + SAYS_WORDS * 2 + STOP + DONE),
    "[DONE] with spaces around": Case(HELLO + STOP + b"data:  [DONE] \n\n", HELLO + STOP + DONE),
    "nothing counts after [DONE]": Case(HELLO + STOP + DONE + ERROR + USAGE + b"rubbish", HELLO + STOP + DONE),
    "tool calls are content": Case(TOOL + DONE, TOOL + DONE),
    "text completions": Case(TEXT + TEXT_STOP + DONE, TEXT + TEXT_STOP + DONE),
    "Azure's first chunk has no choices": Case(FILTERS + TALK + DONE, FILTERS + TALK + DONE),
    "a chunk without choices gets them": Case(
        HELLO + event(NO_CHOICES) + STOP + DONE, HELLO + event(NO_CHOICES | {"choices": []}) + STOP + DONE
    ),
    "choices null become none": Case(
        HELLO + event(NO_CHOICES | {"choices": None}) + STOP + DONE,
        HELLO + event(NO_CHOICES | {"choices": []}) + STOP + DONE,
    ),
    "no [DONE], but it said it was finished": Case(TALK, TALK + DONE),
    "no [DONE], usage after the finish": Case(TALK + USAGE, TALK + DONE, COUNTED),
    "no [DONE], content after the finish": Case(TALK + HELLO, TALK + HELLO + DONE),
    "no [DONE], a null finish after the finish": Case(TALK + NULLS[0], TALK + NULLS[0] + DONE),
    "no blank line after [DONE]": Case(TALK + DONE[:-2], TALK + DONE),
    "one line end after [DONE]": Case(TALK + DONE[:-1], TALK + DONE),
    "no blank line after the finish": Case(TALK[:-2], TALK + DONE),
    "a trailing comment": Case(TALK + DONE + b": bye", TALK + DONE),
    "an empty stream": Case(b"", b"", started=False, finished=False),
    "only comments": Case(b": ping\n\n: ping\n\n", b"", started=False, finished=False),
    "only [DONE]": Case(DONE, DONE, started=False),
    "only a role": Case(ROLE, ROLE, started=False, finished=False),
    "only a role and [DONE]": Case(ROLE + DONE, ROLE + DONE, started=False),
    "only a finish": Case(STOP + DONE, STOP + DONE),
    "truncated between events": Case(ROLE + HELLO, ROLE + HELLO, finished=False),
    "truncated within an event": Case(
        ROLE + HELLO + WORLD[:30], ROLE + HELLO, finished=False, failure=FailureKind.BAD_REPLY
    ),
    "an error first": Case(ERROR, b"", started=False, finished=False, failure=FailureKind.SERVER_ERROR),
    "an error after the role": Case(ROLE + ERROR, ROLE, started=False, finished=False,
                                    failure=FailureKind.SERVER_ERROR),
    "an error after content": Case(ROLE + HELLO + ERROR + DONE, ROLE + HELLO, finished=False,
                                   failure=FailureKind.SERVER_ERROR),
    "an error beside an event name": Case(b"event: error\n" + ERROR + DONE, b"", started=False, finished=False,
                                          failure=FailureKind.SERVER_ERROR),
    "an error with the context window": Case(WINDOW_ERROR, b"", started=False, finished=False,
                                             failure=FailureKind.CONTEXT_WINDOW),
    "an error as a string": Case(event({"error": "it fell over"}), b"", started=False, finished=False,
                                 failure=FailureKind.BAD_REPLY),
    "an error without an error member": Case(HELLO + VLLM_ERROR + DONE, HELLO, finished=False,
                                             failure=FailureKind.SERVER_ERROR),
    "error null is no error": Case(
        event(chunk(delta("a"), error=None)) + STOP + DONE, event(chunk(delta("a"), error=None)) + STOP + DONE
    ),
    "no JSON": Case(ROLE + b"data: hello\n\n" + DONE, ROLE, started=False, finished=False,
                    failure=FailureKind.BAD_REPLY),
    "a web page": Case(b"<html>\n\n<body>Bad gateway</body>\n\n", b"", started=False, finished=False),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_stream_reads_the_same_however_it_is_cut(case: Case) -> None:
    for pieces in cuts(case.sent):
        assert decode(pieces, case.wants) == case.told, pieces


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_client_gets_clean_frames(case: Case) -> None:
    for frame in case.got.split(b"\n\n")[:-1]:
        assert frame.startswith(b"data: ")
        assert b"\n" not in frame
        assert b"\r" not in frame
        assert frame == b"data: [DONE]" or isinstance(orjson.loads(frame[6:])["choices"], list)
    assert case.got == b"" or case.got.endswith(b"\n\n")
    assert case.got.count(DONE) == case.finished


HOSTILE: list[Any] = [
    5,
    "text",
    [1],
    None,
    True,
    chunk(5),
    chunk("text"),
    chunk({"0": {}}),
    chunk(True),
    chunk([None]),
    chunk([5]),
    chunk(["text"]),
    chunk([[{}]]),
    chunk([{"index": 0, "delta": "text"}]),
    chunk([{"index": 0, "delta": [1]}]),
    chunk([{"index": 0, "delta": 5}]),
    chunk([{"index": 0, "delta": {"content": "a"}}, None]),
]


@pytest.mark.parametrize("document", HOSTILE, ids=repr)
def test_json_of_the_wrong_shape_is_a_bad_reply(document: Any) -> None:
    for pieces in cuts(ROLE + event(document) + DONE):
        told = decode(pieces)
        assert told.failure is FailureKind.BAD_REPLY
        assert told.out == ROLE
        assert not told.finished


@pytest.mark.parametrize(
    "document",
    [
        chunk([{"index": 0, "delta": None, "finish_reason": None}]),
        chunk([{}]),
        chunk([{"delta": {"content": None}}]),
        chunk([{"delta": {"content": 5}, "finish_reason": 5}]),
        chunk(delta("a"), usage="many"),
        chunk(delta("a"), usage=[1]),
        chunk(delta("a"), usage={"prompt_tokens": "3", "completion_tokens": None}),
        chunk(delta("a"), usage={}),
    ],
    ids=repr,
)
def test_json_that_is_merely_odd_passes(document: Any) -> None:
    sent = HELLO + event(document) + STOP + DONE
    for pieces in cuts(sent):
        assert decode(pieces) == Told(sent, True, True, None, None)


@pytest.mark.parametrize("choices", [5, "text", {"0": {}}, True])
def test_choices_that_are_no_list_are_a_bad_reply_in_the_middle_of_a_stream_too(choices: Any) -> None:
    for pieces in cuts(HELLO + event(chunk(choices)) + DONE):
        assert decode(pieces) == Told(HELLO, True, False, FailureKind.BAD_REPLY, None)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "usage", "error", "finish_reason", "content", "code", "message",
                             "prompt_tokens", "object"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(JSON | st.builds(chunk, JSON), max_size=4))
def test_no_json_whatsoever_raises(documents: list[Any]) -> None:
    sent = b"".join(map(event, documents))
    for pieces in ([sent], [sent[index : index + 1] for index in range(len(sent))]):
        decode(pieces)
        decode(pieces, wants_usage=True)


@given(
    st.lists(
        st.binary(max_size=20) | st.sampled_from([b"data: ", b"\n\n", b"\r\n", HELLO, DONE, b"{", b'"']), max_size=9
    )
)
def test_no_bytes_whatsoever_raise(pieces: list[bytes]) -> None:
    told = decode(pieces)
    assert told.out.count(DONE) <= 1


FRAMES = st.sampled_from(
    [ROLE, HELLO, WORLD, STOP, USAGE, *NULLS, IN_BOTH, SPACED, SPACED_STOP, SPACED_USAGE, SAYS_DONE, SAYS_WORDS, TOOL,
     TEXT, TEXT_STOP, FILTERS, event(NO_CHOICES), b": ping\n\n", b"event: x\n" + HELLO, crlf(HELLO), crlf(USAGE)]
)  # fmt: skip
ENDINGS = st.sampled_from([DONE, b"", ERROR, DONE[:-2], HELLO[:40], STOP[:-1], crlf(DONE), VLLM_ERROR])


@given(st.lists(FRAMES, max_size=8), ENDINGS, st.lists(st.integers(0, 2000), max_size=8), st.booleans())
def test_the_output_does_not_depend_on_how_the_bytes_are_cut(
    frames: list[bytes], ending: bytes, places: list[int], wants: bool
) -> None:
    sent = b"".join(frames) + ending
    assert decode(at(sent, places), wants) == decode([sent], wants)


def test_well_formed_events_pass_as_they_came_without_a_copy() -> None:
    decoder = OpenAIStream(False)
    decoder.feed(HELLO)
    block = WORLD + WORLD
    assert decoder.feed(block) is block


def test_it_says_when_it_has_started() -> None:
    decoder = OpenAIStream(False)
    seen = []
    for frame in (FILTERS, ROLE, HELLO, STOP, DONE):
        decoder.feed(frame)
        seen.append(decoder.started)
    assert seen == [False, False, True, True, True]


@pytest.mark.parametrize(
    "name", ["content", "tool_calls", "reasoning_content", "reasoning", "refusal", "function_call", "audio"]
)
def test_content_comes_in_many_members(name: str) -> None:
    assert decode([event(chunk([{"delta": {name: ["x"]}}]))]).started
    assert not decode([event(chunk([{"delta": {name: None}}]))]).started


def test_content_in_any_choice_starts_it() -> None:
    assert decode([event(chunk([{"delta": {}}, {"delta": {"content": "x"}}]))]).started


def test_an_event_without_end_is_a_failure_not_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.dialects.sse.MAX_EVENT_BYTES", 1000)
    decoder = OpenAIStream(False)
    assert decoder.feed(b"data: " + b"x" * 2000) == b""
    assert decoder.failure is not None
    assert decoder.failure.kind is FailureKind.PROTOCOL
    assert decoder.feed(HELLO) == b""


@pytest.mark.parametrize(
    ("document", "usage"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2}, Usage(3, 2)),
        ({"prompt_tokens": 3, "total_tokens": 3}, Usage(3, 0)),
        ({"prompt_tokens": 3, "completion_tokens": None}, Usage(3, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0)),
        ({"prompt_tokens": -3, "completion_tokens": 2}, None),
        ({"prompt_tokens": 3, "completion_tokens": -2}, None),
        ({"prompt_tokens": 3.5, "completion_tokens": 2}, None),
        ({"prompt_tokens": "3", "completion_tokens": 2}, None),
        ({"completion_tokens": 2}, None),
        ({}, None),
        (None, None),
        ([3, 2], None),
        ("3", None),
    ],
)
def test_a_usage_is_two_counts_or_none(document: Any, usage: Usage | None) -> None:
    assert read_usage(document) == usage


def test_an_in_band_error_shows_the_client_what_it_may_see_and_no_more() -> None:
    decoder = OpenAIStream(False)
    decoder.feed(WINDOW_ERROR)
    assert decoder.failure is not None
    assert decoder.failure.status == 400
    assert orjson.loads(decoder.failure.body)["error"]["message"] == "maximum context length is 8192 tokens"
    decoder = OpenAIStream(False)
    decoder.feed(ERROR)
    assert decoder.failure is not None
    assert decoder.failure.message == "sent an error with status 200"
    assert decoder.failure.body == b""


@pytest.mark.parametrize("code", ["²²²", "٤٠٠", "4000", "40", "-40", None, [], {}, 1e300, True])
def test_an_error_code_that_is_no_status_is_taken_as_none(code: Any) -> None:
    assert decode([event({"error": {"message": "no", "code": code}})]).failure is FailureKind.BAD_REPLY
