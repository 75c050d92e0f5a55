from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.prompt.content import Turn, turns

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hi", "Hi"),
        ("", ""),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "Hi"}], "Hi"),
        ([{"type": "text", "text": "Hi"}, {"type": "text", "text": " there"}], "Hi there"),
        ([{"type": "refusal", "refusal": "No."}], "No."),
    ],
)
def test_the_text_of_a_content(content: Any, text: str) -> None:
    assert turns([{"role": "user", "content": content}]) == [Turn("user", text)]


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"role": "user", "content": [{"type": "text", "text": "see"}, IMAGE]}, FailureKind.UNSUPPORTED),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, FailureKind.UNSUPPORTED),
        ({"role": "user", "content": [{"type": "file", "file": {}}]}, FailureKind.UNSUPPORTED),
        ({"role": "user", "content": ["Hi"]}, FailureKind.UNSUPPORTED),
        ({"role": "user", "content": [{"type": ["x"]}]}, FailureKind.UNSUPPORTED),
        ({"role": "user", "content": [{"type": "text", "text": 1}]}, FailureKind.REJECTED),
        ({"role": "user", "content": 5}, FailureKind.REJECTED),
        ({"role": 5, "content": "Hi"}, FailureKind.REJECTED),
        ({"content": "Hi"}, FailureKind.REJECTED),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, FailureKind.UNSUPPORTED),
        ({"role": "assistant", "function_call": {"name": "f"}}, FailureKind.UNSUPPORTED),
    ],
)
def test_what_is_no_text_is_a_400_that_names_the_messages(message: dict[str, Any], kind: FailureKind) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        turns([message])
    assert (caught.value.kind, caught.value.status) == (kind, 400)
    assert orjson.loads(caught.value.body)["error"]["param"] == "messages"


def test_calls_of_tools_may_be_left_out_but_an_image_never() -> None:
    told = [{"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]}]
    assert turns(told, drop=True) == [Turn("assistant", "Let me see.")]
    with pytest.raises(UpstreamFailure):
        turns([{"role": "user", "content": [IMAGE]}], drop=True)
