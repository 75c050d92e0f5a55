"""Which template a request's messages go through, and the prompt where that is one of the house's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from router.core.errors import FailureKind
from router.core.prompts import JinjaTemplate, Prompt, PromptTemplate
from router.dialects.failures import unsupported
from router.dialects.prompt import written
from router.dialects.prompt.content import Turn, turns
from router.dialects.prompt.families import FAMILIES, family_of


class Rendering(NamedTuple):
    """What is left to do: render `template` with `variables`."""

    template: JinjaTemplate
    variables: Mapping[str, Any]

    def prompt(self, text: str) -> Prompt:
        bos, eos = self.variables["bos_token"], self.variables["eos_token"]
        stop = tuple(dict.fromkeys(item for item in (*self.template.stop, eos) if item))
        return Prompt(text, stop, bool(bos) and text.startswith(bos))


def prompt_of(
    template: PromptTemplate, messages: Sequence[Mapping[str, Any]], *, drop: bool = False
) -> Prompt | Rendering:
    """The prompt for `messages`. The operator's templates win over families of the same name.

    Raises UpstreamFailure (a 400 naming `messages` or `hf_model_name`). `drop`: leave out calls of tools.
    """
    told = turns(messages, drop=drop)
    name = template.hf_model_name
    if name is None:
        return written.render(template, told)
    named = template.named or {}
    own = named.get(name)
    if own is not None:
        return Rendering(own, _variables(own, template, messages, told))
    family = family_of(name)
    if family is None:
        known = ", ".join(sorted({*FAMILIES, *named}))
        raise unsupported("hf_model_name", f"no chat template is known by that name; known are {known}",
                          FailureKind.REJECTED)  # fmt: skip
    return family.prompt(told, template.bos_token, template.eos_token)


def _variables(
    own: JinjaTemplate, template: PromptTemplate, messages: Sequence[Mapping[str, Any]], told: Sequence[Turn]
) -> dict[str, Any]:
    """What chat templates read: contents are texts, whatever else a message has stays."""
    return {
        "messages": [{**message, "role": role, "content": text} for message, (role, text) in
                     zip(messages, told, strict=True)],
        "bos_token": own.bos_token if template.bos_token is None else template.bos_token,
        "eos_token": own.eos_token if template.eos_token is None else template.eos_token,
        "add_generation_prompt": True,
    }  # fmt: skip
