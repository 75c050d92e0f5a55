"""Chat by text completions, around OpenAI's own format."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.prompts import Prompt
from router.core.types import Deployment, Kind, Usage
from router.dialects.base import InferenceRequest
from router.dialects.openai import OpenAIDialect
from router.dialects.prompt.dialect import PromptDialect
from router.dialects.vllm import VLLMDialect
from tests.core.making import deployment

PROMPT = Prompt("<s>[INST] Hi [/INST]", ("</s>",), begun=True)
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def request(body: dict[str, Any] | None = None, prompt: Prompt | None = PROMPT, kind: Kind = "chat",
            wants_usage: bool = False) -> InferenceRequest:  # fmt: skip
    told = CHAT | (body or {})
    return InferenceRequest(
        kind, "req-1", orjson.dumps(told), told, bool(told.get("stream")), wants_usage, prompt=prompt
    )


def place(**more: Any) -> Deployment:
    return deployment("d", model="up", api_base="http://u.test/v1", **more)


def sent(
    body: dict[str, Any] | None = None, prompt: Prompt = PROMPT, dialect: Any = None, **more: Any
) -> dict[str, Any]:
    wire = (dialect or PromptDialect(OpenAIDialect())).encode(request(body, prompt), place(**more), "k")
    assert wire.head.startswith(b"POST /v1/completions HTTP/1.1\r\n")
    found: dict[str, Any] = orjson.loads(wire.body)
    return found


def test_a_chat_becomes_one_prompt() -> None:
    assert sent() == {"model": "up", "prompt": PROMPT.text, "max_tokens": 1024, "stop": ["</s>"]}


@pytest.mark.parametrize(
    ("body", "more", "limit"),
    [
        ({"max_tokens": 5}, {}, 5),
        ({"max_completion_tokens": 6}, {"max_output_tokens": 4}, 6),
        ({}, {"max_output_tokens": 300}, 300),
        ({}, {"context_window": 200}, 190),
        ({}, {"context_window": 12}, 16),
        ({}, {"max_output_tokens": 50, "context_window": 200}, 50),
    ],
)
def test_the_longest_reply_is_the_clients_else_the_deployments_else_a_usual_one(
    body: dict[str, Any], more: dict[str, Any], limit: int
) -> None:
    assert sent(body, **more)["max_tokens"] == limit


@pytest.mark.parametrize(
    ("asked", "stops"),
    [
        (None, ["</s>", "<a>"]),
        ("END", ["END", "</s>", "<a>"]),
        (["1", "2", "3"], ["1", "2", "3", "</s>"]),
        (["1", "2", "3", "4", "5"], ["1", "2", "3", "4", "5"]),
        (["</s>"], ["</s>", "<a>"]),
    ],
)
def test_the_templates_stop_texts_stand_behind_the_clients_as_far_as_there_is_room(
    asked: Any, stops: list[str]
) -> None:
    assert sent({"stop": asked}, Prompt("x", ("</s>", "<a>")))["stop"] == stops


def test_without_stop_texts_none_are_sent() -> None:
    assert "stop" not in sent({}, Prompt("x"))


def test_a_text_completion_passes_as_it_is() -> None:
    asked = request({"prompt": "say"}, prompt=None, kind="completion")
    assert PromptDialect(OpenAIDialect()).encode(asked, place(), "") == OpenAIDialect().encode(asked, place(), "")
    body = b'{"choices":[{"text":"x"}]}'
    assert PromptDialect(OpenAIDialect()).reply(asked, {}, body).body == body
    frame = b'data: {"choices":[{"text":"x","index":0,"finish_reason":null}]}\n\n'
    assert PromptDialect(OpenAIDialect()).decoder(asked, {}).feed(frame) == frame


def test_vllm_is_told_not_to_begin_the_text_again() -> None:
    dialect = PromptDialect(VLLMDialect())
    assert sent(dialect=dialect)["add_special_tokens"] is False
    assert "add_special_tokens" not in sent(prompt=Prompt("x"), dialect=dialect)
    assert sent({"add_special_tokens": True}, dialect=dialect)["add_special_tokens"] is True


def reply(document: dict[str, Any], **more: Any) -> tuple[dict[str, Any], Usage]:
    made = PromptDialect(OpenAIDialect()).reply(request(**more), {}, orjson.dumps(document))
    assert made.usage is not None
    return orjson.loads(made.body), made.usage


TEXT = {
    "id": "cmpl-7", "object": "text_completion", "created": 5, "model": "up",
    "choices": [{"index": 0, "text": "Hello", "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}  # fmt: skip


def test_a_text_completion_comes_back_as_a_chat_completion() -> None:
    document, usage = reply(TEXT)
    assert document == {
        "id": "chatcmpl-7", "object": "chat.completion", "created": 5, "model": "up",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello", "refusal": None},
                     "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }  # fmt: skip
    assert usage == Usage(3, 2)


def test_usage_that_upstream_does_not_tell_is_estimated_and_says_so() -> None:
    document, usage = reply({name: value for name, value in TEXT.items() if name != "usage"})
    assert usage == Usage(5, 2, estimated=True)
    assert document["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "estimated": True}


def test_log_probabilities_come_back_in_the_form_of_chats() -> None:
    told = {"tokens": ["He", "llo"], "token_logprobs": [None, -0.5], "top_logprobs": [None, {"llo": -0.5, "y": -1.5}],
            "text_offset": [0, 2]}  # fmt: skip
    document, _ = reply(
        TEXT | {"choices": [{"index": 0, "text": "Hello", "logprobs": told, "finish_reason": "length"}]}
    )
    (choice,) = document["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["logprobs"]["content"] == [
        {"token": "He", "logprob": -9999.0, "bytes": [72, 101], "top_logprobs": []},
        {"token": "llo", "logprob": -0.5, "bytes": [108, 108, 111], "top_logprobs": [
            {"token": "llo", "logprob": -0.5, "bytes": [108, 108, 111]},
            {"token": "y", "logprob": -1.5, "bytes": [121]},
        ]},
    ]  # fmt: skip


@pytest.mark.parametrize("document", [{"choices": None}, {"choices": ["x"]}, {"usage": {}}])
def test_a_reply_without_choices_is_none(document: dict[str, Any]) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        reply(document)
    assert caught.value.kind is FailureKind.BAD_REPLY


def chunk(text: str, finish: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
    return b"data: " + orjson.dumps({"id": "cmpl-7", "object": "text_completion", "created": 5, "model": "up",
                                     "choices": [choice]}) + b"\n\n"  # fmt: skip


USAGE = b'data: {"id":"cmpl-7","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


def streamed(frames: bytes, size: int, wants_usage: bool) -> tuple[list[Any], Any]:
    decoder = PromptDialect(OpenAIDialect()).decoder(request({"stream": True}, wants_usage=wants_usage), {})
    told = b"".join(decoder.feed(frames[at : at + size]) for at in range(0, len(frames), size)) + decoder.end()
    events = [event.removeprefix(b"data: ") for event in told.split(b"\n\n") if event]
    return [event if event == b"[DONE]" else orjson.loads(event) for event in events], decoder


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_stream_comes_back_as_chunks_of_a_chat(size: int) -> None:
    events, decoder = streamed(chunk("Hel") + chunk("lo") + chunk("", "stop") + USAGE + DONE, size, wants_usage=True)
    assert [event["choices"][0]["delta"] for event in events[:-2]] == [
        {"role": "assistant", "content": "Hel"}, {"content": "lo"}, {},
    ]  # fmt: skip
    assert [event["choices"][0]["finish_reason"] for event in events[:-2]] == [None, None, "stop"]
    assert {(event["object"], event["id"]) for event in events[:-1]} == {("chat.completion.chunk", "chatcmpl-7")}
    assert events[-2]["choices"] == []
    assert events[-2]["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert events[-1] == b"[DONE]"
    assert (decoder.started, decoder.finished, decoder.failure, decoder.usage) == (True, True, None, Usage(3, 2))


def test_a_streams_usage_is_sent_to_those_who_asked_and_estimated_where_it_is_not_told() -> None:
    frames = chunk("Hello", None) + chunk("", "stop") + DONE
    events, decoder = streamed(frames, 10_000, wants_usage=False)
    assert all("usage" not in event for event in events[:-1])
    assert decoder.usage == Usage(5, 2, estimated=True)
    events, _ = streamed(frames, 10_000, wants_usage=True)
    assert events[-2]["usage"]["estimated"] is True


def test_several_choices_each_begin_with_their_role() -> None:
    events, _ = streamed(
        chunk("a") + chunk("b", None, 1) + chunk("c", "stop") + chunk("", "length", 1) + DONE, 9999, False
    )
    assert [event["choices"][0]["delta"].get("role") for event in events[:-1]] == ["assistant", "assistant", None, None]


def test_a_stream_that_breaks_is_not_finished_and_an_error_within_is_a_failure() -> None:
    events, decoder = streamed(chunk("a"), 9999, wants_usage=True)
    assert not decoder.finished
    assert b"[DONE]" not in events
    _, decoder = streamed(chunk("a") + b'data: {"error":{"message":"oops","code":500}}\n\n', 9999, wants_usage=True)
    assert decoder.failure.kind is FailureKind.SERVER_ERROR
