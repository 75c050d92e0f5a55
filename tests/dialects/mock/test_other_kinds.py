"""Legacy completions, embeddings and the list of models."""

from __future__ import annotations

import base64
import struct
from math import isclose, sqrt

import pytest

from router.dialects.mock.replies import kind_of, models_answer
from tests.dialects.mock.replying import CREATED, ask, body_of, events_of


def test_a_prompt_is_answered_with_text() -> None:
    body = body_of(ask("completion", {"model": "davinci", "prompt": "once upon", "max_tokens": 2}))
    assert body.pop("id").startswith("cmpl-")
    assert body == {
        "object": "text_completion",
        "created": CREATED,
        "model": "davinci",
        "choices": [{"text": "Hello from", "index": 0, "logprobs": None, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
        "system_fingerprint": None,
    }


def test_every_prompt_of_a_list_gets_n_choices() -> None:
    body = body_of(ask("completion", {"model": "m", "prompt": ["red", "green"], "n": 2}))
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert [choice["text"].split()[-1] for choice in body["choices"]] == ["red", "red", "green", "green"]


def test_text_is_streamed_without_roles() -> None:
    events = events_of(ask("completion", {"model": "m", "prompt": "a", "stream": True}))
    assert events.pop() == "[DONE]"
    assert {event["object"] for event in events} == {"text_completion"}
    assert "".join(event["choices"][0]["text"] for event in events) == "Hello from m! You said: a"
    assert [event["choices"][0]["finish_reason"] for event in events][-2:] == [None, "stop"]


@pytest.mark.parametrize(
    ("value", "count", "tokens"),
    [("two words", 1, 2), (["a", "b c"], 2, 3), ([1, 2, 3], 1, 3), ([[1, 2], [3]], 2, 3), ("", 0, 0)],
)
def test_embeddings_take_strings_and_tokens_alone_and_in_lists(value: object, count: int, tokens: int) -> None:
    answer = ask("embedding", {"model": "m", "input": value, "dimensions": 8})
    if not count:
        assert answer.status == 400
        return
    body = body_of(answer)
    assert body["object"] == "list"
    assert [(e["object"], e["index"], len(e["embedding"])) for e in body["data"]] == [
        ("embedding", i, 8) for i in range(count)
    ]
    assert body["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


def test_an_embedding_is_a_unit_vector_that_depends_on_its_text_alone() -> None:
    first, other = body_of(ask("embedding", {"model": "m", "input": ["cat", "dog"]}))["data"]
    again = body_of(ask("embedding", {"model": "another", "input": "cat"}))["data"][0]
    assert first["embedding"] == again["embedding"] != other["embedding"]
    assert len(first["embedding"]) == 1536
    assert isclose(sqrt(sum(x * x for x in first["embedding"])), 1.0, abs_tol=1e-5)


def test_base64_holds_the_same_numbers_as_the_list() -> None:
    request = {"model": "m", "input": "cat", "dimensions": 5}
    floats = body_of(ask("embedding", request))["data"][0]["embedding"]
    text = body_of(ask("embedding", request | {"encoding_format": "base64"}))["data"][0]["embedding"]
    assert list(struct.unpack("<5f", base64.b64decode(text))) == floats


@pytest.mark.parametrize("dimensions", [0, -1, 1_000_000, "8", True])
def test_impossible_dimensions_are_a_400(dimensions: object) -> None:
    answer = ask("embedding", {"model": "m", "input": "a", "dimensions": dimensions})
    assert answer.status == 400
    assert "dimensions" in body_of(answer)["error"]["message"]


def test_models_are_listed() -> None:
    body = body_of(models_answer(["a", "b"], CREATED))
    assert body["data"][1] == {"id": "b", "object": "model", "created": CREATED, "owned_by": "mock"}
    assert body["object"] == "list"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/chat/completions", "chat"),
        ("/chat/completions", "chat"),
        ("/v1/completions", "completion"),
        ("/embeddings", "embedding"),
        ("/v2/embeddings", None),
        ("/", None),
    ],
)
def test_the_path_tells_the_kind(path: str, kind: str | None) -> None:
    assert kind_of(path) == kind
