"""Whatever a server of texts answers, it is a reply or a failure, and never an error of the router's."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.errors import UpstreamFailure
from router.core.prompts import Prompt
from router.dialects.base import Dialect, InferenceRequest
from router.dialects.openai import OpenAIDialect
from router.dialects.prompt.dialect import PromptDialect
from router.dialects.sagemaker import SageMakerDialect
from router.dialects.tgi.dialect import TGIDialect
from router.dialects.vllm import VLLMDialect
from tests.edge.aws_frames import event

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "functions": [{"name": "f"}]}
DIALECTS: dict[str, tuple[Dialect, Prompt | None]] = {
    "openai": (PromptDialect(OpenAIDialect()), Prompt("Hi", ("</s>",))),
    "vllm": (VLLMDialect(), None),
    "huggingface": (PromptDialect(TGIDialect()), Prompt("Hi", ("</s>",))),
    "sagemaker": (PromptDialect(SageMakerDialect()), Prompt("Hi", ("</s>",))),
}
NAMES = st.sampled_from(
    ["choices", "text", "index", "delta", "message", "tool_calls", "function", "logprobs", "tokens", "top_logprobs",
     "token_logprobs", "finish_reason", "usage", "prompt_tokens", "generated_text", "details", "token", "special",
     "error", "id", "generated_tokens"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "stop", "</s>", "length"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
FILLED = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(VALUES, max_size=2), "generated_text": VALUES, "token": VALUES, "details": VALUES}
)
CHUNK = st.fixed_dictionaries({"choices": st.lists(VALUES, min_size=1, max_size=2)})


def asked(prompt: Prompt | None, stream: bool) -> InferenceRequest:
    return InferenceRequest("chat", "req-1", orjson.dumps(BODY), BODY, stream, True, prompt=prompt)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=60)
@given(told=VALUES | FILLED)
def test_a_whole_reply_of_any_form(name: str, told: Any) -> None:
    dialect, prompt = DIALECTS[name]
    try:
        reply = dialect.reply(asked(prompt, stream=False), {}, orjson.dumps(told))
    except UpstreamFailure:
        return
    assert isinstance(orjson.loads(reply.body), dict)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=60)
@given(events=st.lists(CHUNK | FILLED | VALUES, max_size=4), cut=st.integers(1, 40), spoil=st.booleans())
def test_a_stream_of_any_form(name: str, events: list[Any], cut: int, spoil: bool) -> None:
    dialect, prompt = DIALECTS[name]
    good = {
        "choices": [{"index": 0, "text": "x", "delta": {"content": "x"}, "finish_reason": None}],
        "token": {"text": "x"},
    }
    data = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in [good, good, *events])
    if spoil:
        data = data.replace(b"}]", b"]", 1) if events else data
    if name == "sagemaker":
        data = event(data)
    decoder = dialect.decoder(asked(prompt, stream=True), {})
    told = b""
    for at in range(0, len(data), cut):
        if decoder.failure is None:
            told += decoder.feed(data[at : at + cut])
    if decoder.failure is None:
        told += decoder.end()
    for each in told.split(b"\n\n"):
        assert each in (b"", b"data: [DONE]") or isinstance(orjson.loads(each.removeprefix(b"data: ")), dict)
