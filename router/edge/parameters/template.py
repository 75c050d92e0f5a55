"""What a request says of the prompt that text-completion upstreams get."""

from __future__ import annotations

from typing import Any

from router.core.prompts import PromptTemplate, RoleTexts
from router.edge.parameters.checking import bad, words_for
from router.edge.parameters.table import PARAMETERS, Owner

TEMPLATE = {row.name: row.types for row in PARAMETERS if row.owner is Owner.TEMPLATE}
_TEXTS = frozenset(RoleTexts._fields)


def take_template(body: dict[str, Any]) -> PromptTemplate | None:
    """Remove the template's parameters from `body`; None where there are none.

    Raises RouterError 400 for a wrong value.
    """
    given = {name: body.pop(name, None) for name in TEMPLATE if name in body}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return None
    for name, value in given.items():
        if type(value) not in TEMPLATE[name]:
            raise bad(f"`{name}` must be {words_for(TEMPLATE[name])}", name)
    if "roles" in given:
        given["roles"] = _roles(given["roles"])
    template = PromptTemplate(**given)
    if template.hf_model_name is not None and template.written_out:
        raise bad("`hf_model_name` names a whole template: give either that, or `initial_prompt_value`, `roles` and"
                  " `final_prompt_value`", "hf_model_name")  # fmt: skip
    return template


def _roles(value: dict[str, Any]) -> dict[str, RoleTexts]:
    for texts in value.values():
        fits = isinstance(texts, dict) and texts.keys() <= _TEXTS
        if not fits or not all(isinstance(text, str) for text in texts.values()):
            raise bad("`roles` must map roles to `{pre_message, post_message}`, both strings", "roles")
    return {role: RoleTexts(**texts) for role, texts in value.items()}
