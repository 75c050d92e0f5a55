"""Checks of what deployments say of prompts, and of the templates they name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path as FilePath

from router.config.document import Path
from router.config.problems import Problems, did_you_mean, listed
from router.config.resolve_prompts import ONLY_TEXT
from router.config.schema import Settings
from router.config.schema_deployment import DeploymentSettings
from router.config.schema_templates import ChatTemplateSettings
from router.dialects.prompt.families import FAMILIES, family_of

_WRITTEN_OUT = ("initial_prompt_value", "roles", "final_prompt_value")
_PROMPT = (*_WRITTEN_OUT, "bos_token", "eos_token", "hf_model_name")


def check_prompts(settings: Settings, problems: Problems, folder: FilePath) -> None:
    for name, template in settings.chat_templates.items():
        _check_template(("chat_templates", name), template, problems, folder)
    names = sorted({*FAMILIES, *settings.chat_templates})
    for index, entry in enumerate(settings.model_list):
        _check_entry(("model_list", index), entry, names, problems)


def _check_entry(path: Path, entry: DeploymentSettings, names: list[str], problems: Problems) -> None:
    if entry.provider in ONLY_TEXT and entry.mode not in (None, "completion"):
        problems.add((*path, "mode"), f"provider {entry.provider} completes texts: leave this out, or completion")
    given = [name for name in _PROMPT if getattr(entry, name) is not None]
    if given and entry.mode != "completion" and entry.provider not in ONLY_TEXT:
        problems.add((*path, given[0]), "does nothing without mode: completion", key=True)
    if entry.hf_model_name is not None:
        if any(name in given for name in _WRITTEN_OUT):
            problems.add((*path, "hf_model_name"), f"names a whole template: give that, or {listed(_WRITTEN_OUT)}",
                         key=True)  # fmt: skip
        if entry.hf_model_name not in names and family_of(entry.hf_model_name) is None:
            hint = did_you_mean(entry.hf_model_name, names)
            problems.add((*path, "hf_model_name"), f"no chat template is known by that name{hint}; known are"
                         f" {listed(names)}; or give one in chat_templates")  # fmt: skip
    _check_aws(path, entry, problems)


def _check_aws(path: Path, entry: DeploymentSettings, problems: Problems) -> None:
    aws = entry.aws
    if entry.provider != "sagemaker":
        if aws is not None:
            problems.add((*path, "aws"), "is for provider sagemaker only", key=True)
        return
    if aws is None and (*path, "aws") not in problems:
        problems.add((*path, "aws"), "is missing; provider sagemaker needs its region")
    if aws is not None and (aws.access_key_id is None) != (aws.secret_access_key is None):
        problems.add((*path, "aws"), "needs both of access_key_id and secret_access_key, or neither", key=True)
    if entry.api_key is not None or entry.api_keys:
        name = "api_key" if entry.api_key is not None else "api_keys"
        problems.add((*path, name), "does nothing: provider sagemaker signs with aws", key=True)
    if find_spec("botocore") is None:
        problems.add((*path, "provider"), "sagemaker needs botocore: install llm-router[aws]")


def _check_template(path: Path, template: ChatTemplateSettings, problems: Problems, folder: FilePath) -> None:
    if (template.text is None) == (template.file is None):
        problems.add(path, "needs one of text and file")
        return
    text, place = template.text, (*path, "text")
    if template.file is not None:
        place = (*path, "file")
        try:
            text = (folder / template.file).read_text(encoding="utf-8")
        except (OSError, ValueError):
            problems.add(place, f"cannot read {problems.shown(place, template.file)} as text")
            return
    fault = _fault_in(text or "")
    if fault is not None:
        problems.add(place, fault)


def _fault_in(text: str) -> str | None:
    """What is wrong with the syntax of a template; it is parsed here, and rendered nowhere near."""
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"]).parse(text)
    except TemplateSyntaxError as error:
        return f"is no valid Jinja template (its line {error.lineno})"
    return None
