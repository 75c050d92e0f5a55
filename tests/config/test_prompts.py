"""What the file says of prompts, of parameters that a provider cannot express, and of AWS."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.core.prompts import JinjaTemplate, PromptTemplate, RoleTexts
from router.core.types import Deployment
from router.dialects.sagemaker import AwsAccount
from tests.config.loading import loaded, problems

VLLM = "model_list: [{model_name: m, provider: vllm, api_base: 'http://h/v1', mode: completion, %s}]\n"
OPENAI = "model_list: [{model_name: m, provider: openai, api_base: 'http://h/v1', %s}]\n"
TGI = "model_list: [{model_name: m, provider: huggingface, api_base: 'http://h', %s}]\n"
AWS = "model_list: [{model_name: m, provider: sagemaker, %s}]\n"


def only(text: str, folder: Path | None = None) -> Deployment:
    ((deployment,),) = loaded(text, folder=folder).catalogue.groups["m"].tiers
    return deployment


def test_a_template_written_out() -> None:
    text = VLLM % (
        "initial_prompt_value: 'Go. ', roles: {user: {pre_message: 'U: '}, assistant: {post_message: 'x'}},"
        " final_prompt_value: 'A:', bos_token: <s>, eos_token: </s>"
    )
    assert only(text).template == PromptTemplate(
        "Go. ", {"user": RoleTexts("U: "), "assistant": RoleTexts("", "x")}, "A:", "<s>", "</s>", None, {}
    )


def test_a_template_by_name_and_where_nothing_is_said() -> None:
    template = only(TGI % "hf_model_name: llama-3").template
    assert template is not None
    assert template.hf_model_name == "llama-3"
    deployment = only(TGI % "weight: 1")
    assert (deployment.mode, deployment.template) == ("completion", PromptTemplate(named={}))
    assert deployment.dialect == "huggingface+prompt"
    assert only(OPENAI % "weight: 1").template is None
    assert only(OPENAI % "mode: completion").dialect == "openai+prompt"


def test_templates_of_ones_own_are_text_or_files_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "b.jinja").write_text("{{ messages }}")
    text = (
        "chat_templates:\n  a: {text: '{{ x }}', bos_token: <s>, stop: [END]}\n  b: {file: b.jinja, eos_token: </s>}\n"
        + VLLM % "hf_model_name: b"
    )
    config = loaded(text, folder=tmp_path)
    ((deployment,),) = config.catalogue.groups["m"].tiers
    assert deployment.template is not None
    assert deployment.template.named == {
        "a": JinjaTemplate("a", "{{ x }}", "<s>", "", ("END",)),
        "b": JinjaTemplate("b", "{{ messages }}", "", "</s>"),
    }
    assert tmp_path / "b.jinja" in config.files


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (OPENAI % "hf_model_name: llama-2", "model_list.0.hf_model_name: does nothing without mode: completion"),
        (OPENAI % "mode: chat, bos_token: x", "model_list.0.bos_token: does nothing without mode: completion"),
        (VLLM % "hf_model_name: lama-3",
         "model_list.0.hf_model_name: no chat template is known by that name (did you mean llama-3?); known are chatml,"
         " gemma, llama-2, llama-3, mistral, phi, phi-3, qwen; or give one in chat_templates"),
        (VLLM % "hf_model_name: chatml, final_prompt_value: x",
         "model_list.0.hf_model_name: names a whole template: give that, or initial_prompt_value, roles,"
         " final_prompt_value"),
        (VLLM % "roles: {user: {before: x}}", "model_list.0.roles.user.before: unknown key"),
        (TGI % "mode: embedding", "model_list.0.mode: provider huggingface completes texts: leave this out, or"
                                  " completion"),
        ("chat_templates: {a: {}}\n" + VLLM % "", "chat_templates.a: needs one of text and file"),
        ("chat_templates: {a: {text: x, file: y}}\n" + VLLM % "", "chat_templates.a: needs one of text and file"),
        ("chat_templates: {a: {text: \"a\\n{% if %}\"}}\n" + VLLM % "",
         "chat_templates.a.text: is no valid Jinja template (its line 2)"),
        ("chat_templates: {a: {file: missing.jinja}}\n" + VLLM % "",
         "chat_templates.a.file: cannot read 'missing.jinja' as text"),
        (AWS % "model: e", "model_list.0.aws: is missing; provider sagemaker needs its region"),
        (AWS % "aws: {region: Frankfurt}", "model_list.0.aws.region: "),
        (AWS % "aws: {region: eu-central-1, access_key_id: a}",
         "model_list.0.aws: needs both of access_key_id and secret_access_key, or neither"),
        (AWS % "aws: {region: eu-central-1}, api_key: k", "model_list.0.api_key: does nothing: provider sagemaker"),
        (OPENAI % "aws: {region: eu-central-1}", "model_list.0.aws: is for provider sagemaker only"),
        (OPENAI % "max_tokens_name: limit", "model_list.0.max_tokens_name: "),
        ("model_list: [{model_name: m, provider: huggingface}]",
         "model_list.0.api_base: is missing; provider huggingface needs it"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(text: str, problem: str) -> None:
    (told,) = problems(text)
    assert told.partition(": ")[2].startswith(problem)


@pytest.mark.parametrize(
    ("routing", "model", "own", "drops"),
    [
        ("false", "null", "null", False),
        ("true", "null", "null", True),
        ("true", "false", "null", False),
        ("true", "false", "true", True),
        ("false", "true", "false", False),
    ],
)
def test_the_nearest_word_on_dropping_parameters_holds(routing: str, model: str, own: str, drops: bool) -> None:
    text = f"routing: {{drop_params: {routing}}}\nmodels: {{m: {{drop_params: {model}}}}}\n"
    assert only(text + VLLM % f"drop_params: {own}").drop_params is drops


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("model: gpt-4o", None),
        ("model: gpt-5-mini", "max_completion_tokens"),
        ("model: o3", "max_completion_tokens"),
        ("model: o1-preview", "max_completion_tokens"),
        ("model: openai/gpt-oss-20b", None),
        ("model: gpt-5, max_tokens_name: max_tokens", "max_tokens"),
        ("model: x, max_tokens_name: max_completion_tokens", "max_completion_tokens"),
    ],
)
def test_reasoning_models_have_their_own_name_for_the_longest_reply(setting: str, name: str | None) -> None:
    assert only(OPENAI % setting).max_tokens_name == name


def test_a_reasoning_model_out_of_a_wildcard_has_it_too() -> None:
    catalogue = loaded(
        "model_list: [{model_name: 'openai/*', provider: openai, model: '*', api_base: 'http://h/v1'}]"
    ).catalogue
    for asked, name in (("openai/gpt-5", "max_completion_tokens"), ("openai/gpt-4o", None)):
        group = catalogue.resolve(asked)
        assert group is not None
        assert group.tiers[0][0].max_tokens_name == name


def test_an_endpoint_of_sagemaker_has_its_address_and_its_account() -> None:
    text = AWS % (
        "model: my-endpoint, aws: {region: eu-central-1, access_key_id: AK, secret_access_key: sk, session_token: st}"
    )
    deployment = only(text)
    assert deployment.api_base == "https://runtime.sagemaker.eu-central-1.amazonaws.com"
    assert deployment.options == AwsAccount("eu-central-1", "sagemaker", "AK", "sk", "st")
    assert "sk" not in repr(deployment.options).replace("sagemaker", "")
    assert (deployment.mode, deployment.dialect) == ("completion", "sagemaker+prompt")
    china = only(AWS % "model: e, aws: {region: cn-north-1, profile: p}")
    assert china.api_base == "https://runtime.sagemaker.cn-north-1.amazonaws.com.cn"
    assert china.options == AwsAccount("cn-north-1", profile="p")


def test_two_accounts_are_two_backends() -> None:
    one, other = (
        only(AWS % f"model: e, aws: {{region: eu-central-1, access_key_id: {key}, secret_access_key: s}}")
        for key in ("AK1", "AK2")
    )
    assert one.backend != other.backend
    assert (
        one.backend
        == only(AWS % "model: e, aws: {region: eu-central-1, access_key_id: AK1, secret_access_key: changed}").backend
    )
