"""How a deployment is spoken to: its prompts, its names for parameters, and what is left out for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from types import MappingProxyType

from router.config.schema import Settings
from router.config.schema_deployment import DeploymentSettings
from router.config.schema_routing import ModelSettings
from router.config.schema_templates import AwsSettings
from router.core.prompts import JinjaTemplate, PromptTemplate, RoleTexts
from router.core.types import Deployment, backend_of
from router.dialects.sagemaker import AwsAccount

ONLY_TEXT = frozenset({"huggingface", "sagemaker"})
"""The providers whose servers know no conversations."""
REASONING = ("gpt-5", "o1", "o3", "o4-")
"""How the names of OpenAI's reasoning models begin."""


def chat_templates(settings: Settings, folder: FilePath) -> Mapping[str, JinjaTemplate]:
    """The operator's, by name. Files are named from `folder`."""
    found = {}
    for name, given in settings.chat_templates.items():
        text = given.text or (folder / (given.file or "")).read_text(encoding="utf-8")
        found[name] = JinjaTemplate(name, text, given.bos_token, given.eos_token, given.stop)
    return MappingProxyType(found)


def spoken_to(
    deployment: Deployment, entry: DeploymentSettings, settings: Settings, named: Mapping[str, JinjaTemplate]
) -> Deployment:
    """`deployment` with what `entry` says of prompts and parameters; `named` are `chat_templates`."""
    model = settings.models.get(entry.model_name) or ModelSettings()
    switches = (entry.drop_params, model.drop_params, settings.routing.drop_params)
    mode = "completion" if entry.provider in ONLY_TEXT else entry.mode
    found = replace(
        longest_reply_named(deployment, entry.max_tokens_name),
        mode=mode,
        template=_template(entry, named) if mode == "completion" else None,
        drop_params=next(switch for switch in switches if switch is not None),
    )
    return found if entry.aws is None else _at_aws(found, entry.aws)


def longest_reply_named(deployment: Deployment, given: str | None = None) -> Deployment:
    """`deployment` with its name for the longest reply: OpenAI's reasoning models refuse `max_tokens`; every other
    server is sent what the client says."""
    name = given or deployment.max_tokens_name
    model = (deployment.base_model or deployment.model).rpartition("/")[2].lower()
    if name is None and deployment.provider in ("openai", "azure") and model.startswith(REASONING):
        name = "max_completion_tokens"
    return deployment if name == deployment.max_tokens_name else replace(deployment, max_tokens_name=name)


def _template(entry: DeploymentSettings, named: Mapping[str, JinjaTemplate]) -> PromptTemplate:
    roles = None
    if entry.roles is not None:
        roles = {name: RoleTexts(texts.pre_message, texts.post_message) for name, texts in entry.roles.items()}
    return PromptTemplate(
        initial_prompt_value=entry.initial_prompt_value,
        roles=roles,
        final_prompt_value=entry.final_prompt_value,
        bos_token=entry.bos_token,
        eos_token=entry.eos_token,
        hf_model_name=entry.hf_model_name,
        named=named,
    )


def _at_aws(deployment: Deployment, aws: AwsSettings) -> Deployment:
    domain = "amazonaws.com.cn" if aws.region.startswith("cn-") else "amazonaws.com"
    base = deployment.api_base or f"https://runtime.sagemaker.{aws.region}.{domain}"
    account = AwsAccount(
        region=aws.region,
        access_key_id=aws.access_key_id or "",
        secret_access_key=aws.secret_access_key.get_secret_value() if aws.secret_access_key else "",
        session_token=aws.session_token.get_secret_value() if aws.session_token else "",
        profile=aws.profile or "",
    )
    moved = replace(deployment, api_base=base, options=account, backend="")
    signers = (aws.access_key_id or "", aws.profile or "")
    return replace(moved, backend=backend_of(replace(moved, api_keys=signers)))
