from __future__ import annotations

from typing import Any

import pytest

from router.core.prompts import Prompt, PromptTemplate, RoleTexts
from router.dialects.prompt.prompts import prompt_of

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Hi"}
BOT = {"role": "assistant", "content": "Hello"}
MORE = {"role": "user", "content": "Who?"}
ALL = [SYSTEM, USER, BOT, MORE]
ROLES = {
    "system": RoleTexts("[SYS]", "[/SYS]\n"),
    "user": RoleTexts("[USER] ", "\n"),
    "assistant": RoleTexts("[BOT] ", " [END]\n"),
}
WHOLE = PromptTemplate(
    initial_prompt_value="Begin.\n", roles=ROLES, final_prompt_value="[BOT] ", bos_token="<s>", eos_token="</s>"
)


def prompt(template: PromptTemplate, messages: list[dict[str, Any]], drop: bool = False) -> Prompt:
    made = prompt_of(template, messages, drop=drop)
    assert isinstance(made, Prompt)
    return made


def test_the_whole_order_of_a_template_written_out() -> None:
    assert prompt(WHOLE, ALL).text == (
        "<s>Begin.\n[SYS]Be brief.[/SYS]\n[USER] Hi\n[BOT] Hello [END]\n</s><s>[USER] Who?\n[BOT] "
    )


def test_the_token_that_begins_texts_comes_again_only_before_a_users_turn_after_an_assistants() -> None:
    marks = PromptTemplate(roles={}, bos_token="<s>", eos_token="</s>")
    assert prompt(marks, [USER, MORE]).text == "<s>HiWho?"
    assert prompt(marks, [USER, BOT]).text == "<s>HiHello</s>"
    assert prompt(marks, [USER, BOT, BOT, MORE]).text == "<s>HiHello</s>Hello</s><s>Who?"
    assert prompt(marks, [USER, BOT, SYSTEM, MORE]).text == "<s>HiHello</s>Be brief.<s>Who?"
    assert prompt(marks, [BOT, USER, BOT, MORE]).text == "<s>Hello</s><s>HiHello</s><s>Who?"


def test_what_is_not_given_adds_nothing() -> None:
    assert prompt(PromptTemplate(roles={"user": RoleTexts("U:")}), ALL).text == "Be brief.U:HiHelloU:Who?"
    assert prompt(PromptTemplate(final_prompt_value="\n"), [USER]).text == "Hi\n"
    assert prompt(PromptTemplate(initial_prompt_value="> "), [USER]).text == "> Hi"


def test_without_any_template_every_message_is_a_line() -> None:
    assert prompt(PromptTemplate(), ALL).text == "Be brief.\nHi\nHello\nWho?\n"


def test_a_role_of_the_clients_own_has_its_texts_too_and_a_developer_is_the_system() -> None:
    roles = {"critic": RoleTexts("<critic>", "</critic>"), "system": RoleTexts("<sys>", "")}
    messages = [{"role": "developer", "content": "a"}, {"role": "critic", "content": "b"}]
    assert prompt(PromptTemplate(roles=roles), messages).text == "<sys>a<critic>b</critic>"


def test_a_reply_ends_where_the_template_goes_on() -> None:
    assert prompt(WHOLE, [USER]).stop == ("</s>", "[END]", "[USER]")
    assert prompt(PromptTemplate(), [USER]).stop == ()
    same = {"assistant": RoleTexts("", "<end>"), "user": RoleTexts("", "")}
    assert prompt(PromptTemplate(roles=same, eos_token="<end>"), [USER]).stop == ("<end>",)


def test_a_prompt_knows_whether_it_begins_with_the_token_for_that() -> None:
    assert prompt(WHOLE, [USER]).begun
    assert not prompt(PromptTemplate(), [USER]).begun


@pytest.mark.parametrize(
    ("request_s", "deployment_s", "text"),
    [
        (PromptTemplate(bos_token="<B>"), WHOLE, "<B>Begin.\n[USER] Hi\n[BOT] "),
        (PromptTemplate(final_prompt_value=""), WHOLE, "<s>Begin.\n[USER] Hi\n"),
        (PromptTemplate(roles={}), WHOLE, "<s>Begin.\nHi[BOT] "),
        (PromptTemplate(initial_prompt_value=""), WHOLE, "<s>[USER] Hi\n[BOT] "),
        (PromptTemplate(hf_model_name="chatml"), WHOLE, "<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        (WHOLE, PromptTemplate(hf_model_name="chatml"), "<s>Begin.\n[USER] Hi\n[BOT] "),
        (PromptTemplate(eos_token="x"), PromptTemplate(hf_model_name="gemma", bos_token=""),
         "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"),
    ],
)  # fmt: skip
def test_the_requests_own_wins_part_by_part_and_a_name_rules_out_parts(
    request_s: PromptTemplate, deployment_s: PromptTemplate, text: str
) -> None:
    assert prompt(request_s.over(deployment_s), [USER]).text == text
