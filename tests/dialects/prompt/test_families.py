"""What the built-in families make of conversations, written out by hand from the models' published formats."""

from __future__ import annotations

import time

import pytest

from router.core.errors import UpstreamFailure
from router.core.prompts import Prompt, PromptTemplate
from router.dialects.prompt.families import FAMILIES, family_of
from router.dialects.prompt.prompts import prompt_of

Conversation = list[dict[str, str]]


def talk(*texts: str, system: str = "") -> Conversation:
    told = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]
    return [{"role": "system", "content": system}, *told] if system else told


ONE = talk("Hello")
ASKED = talk("Hello", system="Be kind.")
LONG = talk(" Hello", "Hi there ", "Who are you?", system="Be kind.")

GOLDEN: dict[str, list[tuple[Conversation, str]]] = {
    "llama-2": [
        (ONE, "<s>[INST] Hello [/INST]"),
        (ASKED, "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHello [/INST]"),
        (LONG, "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n Hello [/INST] Hi there </s><s>[INST] Who are you? [/INST]"),
    ],
    "llama-3": [
        (
            ONE,
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            LONG,
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHi there<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nWho are you?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
    ],
    "mistral": [
        (ONE, "<s>[INST] Hello [/INST]"),
        (talk("Hello", "Hi", "Who?"), "<s>[INST] Hello [/INST]Hi</s>[INST] Who? [/INST]"),
        (ASKED, "<s>[INST] Be kind.\n\nHello [/INST]"),
    ],
    "chatml": [
        (ONE, "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"),
        (
            LONG,
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n Hello<|im_end|>\n"
            "<|im_start|>assistant\nHi there <|im_end|>\n<|im_start|>user\nWho are you?<|im_end|>\n"
            "<|im_start|>assistant\n",
        ),
    ],
    "gemma": [
        (ONE, "<bos><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n"),
        (
            LONG,
            "<bos><start_of_turn>user\nBe kind.\n\n Hello<end_of_turn>\n<start_of_turn>model\nHi there<end_of_turn>\n"
            "<start_of_turn>user\nWho are you?<end_of_turn>\n<start_of_turn>model\n",
        ),
    ],
    "phi": [
        (ONE, "<|user|>\nHello<|end|>\n<|assistant|>\n"),
        (
            LONG,
            "<|system|>\nBe kind.<|end|>\n<|user|>\n Hello<|end|>\n<|assistant|>\nHi there <|end|>\n"
            "<|user|>\nWho are you?<|end|>\n<|assistant|>\n",
        ),
    ],
}
GOLDEN["qwen"] = GOLDEN["chatml"]
GOLDEN["phi-3"] = GOLDEN["phi"]
STOPS = {
    "llama-2": ("</s>",),
    "llama-3": ("<|eot_id|>",),
    "mistral": ("</s>",),
    "chatml": ("<|im_end|>",),
    "qwen": ("<|im_end|>",),
    "gemma": ("<end_of_turn>",),
    "phi": ("<|endoftext|>", "<|end|>"),
    "phi-3": ("<|endoftext|>", "<|end|>"),
}


def prompt(name: str, messages: Conversation, bos: str | None = None, eos: str | None = None) -> Prompt:
    made = prompt_of(PromptTemplate(hf_model_name=name, bos_token=bos, eos_token=eos), messages)
    assert isinstance(made, Prompt)
    return made


def test_every_family_has_its_golden_prompts_here() -> None:
    assert set(GOLDEN) == set(STOPS) == set(FAMILIES)


@pytest.mark.parametrize(
    ("name", "messages", "text"), [(name, *pair) for name, pairs in GOLDEN.items() for pair in pairs]
)
def test_a_family_makes_the_prompt_it_was_published_with(name: str, messages: Conversation, text: str) -> None:
    made = prompt(name, messages)
    assert made.text == text
    assert made.stop == STOPS[name]
    assert made.begun is text.startswith(("<s>", "<|begin_of_text|>", "<bos>"))


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("meta-llama/Llama-2-7b-chat-hf", "llama-2"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama-3"),
        ("meta-llama/Llama-3.1-70B-Instruct", "llama-3"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "mistral"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mistral"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen"),
        ("google/gemma-2-9b-it", "gemma"),
        ("microsoft/Phi-3-mini-4k-instruct", "phi-3"),
        ("LLAMA-2", "llama-2"),
    ],
)
def test_a_model_of_the_hub_is_known_by_its_name(model: str, family: str) -> None:
    assert family_of(model) is FAMILIES[family]


@pytest.mark.parametrize("model", ["mistralai/Mistral-Nemo-Instruct-2407", "microsoft/phi-4", "gpt2", "", "llama"])
def test_a_model_with_another_template_is_not_taken_for_one_of_them(model: str) -> None:
    assert family_of(model) is None


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UpstreamFailure, match="known are chatml, gemma, llama-2, llama-3, mistral, phi, phi-3, qwen"):
        prompt("gpt2", ONE)


@pytest.mark.parametrize("name", ["llama-2", "mistral", "gemma"])
@pytest.mark.parametrize(
    "roles", ["assistant", "user user", "user assistant assistant", "user system", "system", "user tool"]
)
def test_a_conversation_that_a_family_has_no_form_for_is_refused(name: str, roles: str) -> None:
    with pytest.raises(UpstreamFailure, match="wants conversation roles to alternate") as caught:
        prompt(name, [{"role": role, "content": "x"} for role in roles.split()])
    assert caught.value.status == 400


def test_the_tokens_may_be_given() -> None:
    assert (
        prompt("llama-2", talk("a", "b", "c"), bos="<B>", eos="<E>").text
        == "<B>[INST] a [/INST] b <E><B>[INST] c [/INST]"
    )
    assert prompt("chatml", ONE, bos="<B>").begun
    assert prompt("llama-2", ONE, bos="").text == "[INST] Hello [/INST]"
    assert prompt("llama-2", ONE, eos="<E>").stop == ("<E>",)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_a_great_many_messages_take_no_longer_than_they_are_many(name: str, role: str) -> None:
    began = time.process_time()
    try:
        prompt(name, [{"role": role, "content": "x"}] * 100_000 + ONE)
    except UpstreamFailure:
        pass
    assert time.process_time() - began < 2.0  # what grows with the square of them takes minutes
