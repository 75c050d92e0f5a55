"""How a conversation becomes one text, for upstreams that only go on with texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple


class RoleTexts(NamedTuple):
    """What stands before and after each message of one role."""

    pre_message: str = ""
    post_message: str = ""


class JinjaTemplate(NamedTuple):
    """A chat template of the operator's. `text` is Jinja; `stop` ends a reply."""

    name: str
    text: str
    bos_token: str = ""
    eos_token: str = ""
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """What is known of the template, None where it is not given: a named one, or the parts of one written out.

    `hf_model_name` names one; `initial_prompt_value`, `roles` and `final_prompt_value` write it out. The two tokens go
    with either. `named` are the operator's templates, which names may mean.
    """

    initial_prompt_value: str | None = None
    roles: Mapping[str, RoleTexts] | None = None
    final_prompt_value: str | None = None
    bos_token: str | None = None
    eos_token: str | None = None
    hf_model_name: str | None = None
    named: Mapping[str, JinjaTemplate] | None = None

    @property
    def written_out(self) -> bool:
        return any(part is not None for part in (self.initial_prompt_value, self.roles, self.final_prompt_value))

    def over(self, other: PromptTemplate) -> PromptTemplate:
        """This one where it says something, else `other`. A name here rules out parts written out there, and the other
        way round."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        rest = {item.name: getattr(other, item.name) for item in fields(other)}
        if self.hf_model_name is not None:
            rest.update(initial_prompt_value=None, roles=None, final_prompt_value=None)
        elif self.written_out:
            rest.update(hf_model_name=None)
        return PromptTemplate(**{name: rest[name] if value is None else value for name, value in given.items()})


class Prompt(NamedTuple):
    """A conversation as one text. `stop` are the texts by which the template knows that a reply is over; `begun`: the
    text begins with the token that begins texts, so that upstream must not add another."""

    text: str
    stop: tuple[str, ...] = ()
    begun: bool = False
