from __future__ import annotations

from typing import Any

import pytest

from router.core.types import Usage
from router.dialects.usage import read_usage, text_bytes


@pytest.mark.parametrize(
    ("details", "usage"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 6, "audio_tokens": 2}}, Usage(10, 5, 6, 0, 2)),
        ({"completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 1}}, Usage(10, 5, 0, 0, 0, 3, 1)),
        ({"prompt_tokens_details": {"cached_tokens": 99}}, Usage(10, 5, 10)),
        ({"completion_tokens_details": {"reasoning_tokens": -1}}, Usage(10, 5)),
        ({"prompt_tokens_details": {"cached_tokens": "6"}, "completion_tokens_details": []}, Usage(10, 5)),
        ({"prompt_tokens_details": None}, Usage(10, 5)),
    ],
)
def test_the_parts_of_the_tokens_are_read_and_never_more_than_the_whole(details: dict[str, Any], usage: Usage) -> None:
    assert read_usage({"prompt_tokens": 10, "completion_tokens": 5} | details) == usage


@pytest.mark.parametrize(
    ("reply", "length"),
    [
        ({"choices": [{"message": {"content": "é"}}, {"message": {"content": "ab"}}]}, 4),
        ({"choices": [{"text": "abc"}]}, 3),
        ({"choices": [{"message": {"content": None, "reasoning_content": "abcd"}}]}, 4),
        ({"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}}]}, 3),
        ({"choices": [{"message": {"content": [1], "tool_calls": "none"}}, 7, {"message": []}]}, 0),
        ({"choices": "none"}, 0),
        ({"data": []}, 0),
    ],
)
def test_the_length_of_a_reply_is_that_of_what_the_model_wrote(reply: dict[str, Any], length: int) -> None:
    assert text_bytes(reply) == length
