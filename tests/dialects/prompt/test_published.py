"""The built-in families against chat templates as models publish them, rendered by jinja2 itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from router.core.prompts import Prompt, PromptTemplate
from router.dialects.prompt.prompts import prompt_of

LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set rest = messages %}{% set system = false %}{% endif %}"
    "{% for message in rest %}"
    "{% if loop.index0 == 0 and system != false %}"
    "{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)
LLAMA_3 = (
    "{% for message in messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' "
    "+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{{ '<start_of_turn>model\\n' }}"
)
PHI_3 = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + '\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}"
    "{{ '<|assistant|>\\n' }}"
)
PUBLISHED = {
    "llama-2": (LLAMA_2, "<s>", "</s>", True),
    "llama-3": (LLAMA_3, "<|begin_of_text|>", "<|eot_id|>", True),
    "mistral": (MISTRAL, "<s>", "</s>", False),
    "chatml": (CHATML, "", "", True),
    "gemma": (GEMMA, "<bos>", "", False),
    "phi-3": (PHI_3, "", "", True),
}
"""Text, tokens, and whether it has a form for the system's message."""
TEXTS = st.text(st.sampled_from(" ab\n<[é{%"), max_size=6)


@pytest.mark.parametrize("name", PUBLISHED)
@settings(max_examples=50)
@given(system=st.none() | TEXTS, texts=st.lists(TEXTS, min_size=1, max_size=5))
def test_a_family_makes_what_the_published_template_makes(name: str, system: str | None, texts: list[str]) -> None:
    text, bos, eos, has_system = PUBLISHED[name]
    messages = [{"role": ("user", "assistant")[at % 2], "content": told} for at, told in enumerate(texts)]
    if system is not None and has_system:
        messages.insert(0, {"role": "system", "content": system})
    template = ImmutableSandboxedEnvironment().from_string(text)
    made = prompt_of(PromptTemplate(hf_model_name=name), messages)
    assert isinstance(made, Prompt)
    assert made.text == template.render(messages=messages, bos_token=bos, eos_token=eos, add_generation_prompt=True)
