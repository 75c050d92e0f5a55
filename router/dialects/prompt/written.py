"""The template written out: texts before and after each role's messages."""

from __future__ import annotations

from collections.abc import Sequence

from router.core.prompts import Prompt, PromptTemplate, RoleTexts
from router.dialects.prompt.content import Turn

NOTHING = RoleTexts()
A_LINE_EACH = RoleTexts("", "\n")
"""Where no template is given at all."""


def render(template: PromptTemplate, turns: Sequence[Turn]) -> Prompt:
    """`bos_token` + `initial_prompt_value`, then each message between its role's texts, with `eos_token` after each
    assistant's turn and `bos_token` again before the user's turn that follows it, then `final_prompt_value`."""
    bos, eos = template.bos_token or "", template.eos_token or ""
    roles = template.roles or {}
    missing = NOTHING if template.written_out else A_LINE_EACH
    parts = [bos, template.initial_prompt_value or ""]
    closed = False
    for role, text in turns:
        if closed and role == "user":
            parts.append(bos)
            closed = False
        texts = roles.get(role, missing)
        parts += (texts.pre_message, text, texts.post_message)
        if role == "assistant":
            parts.append(eos)
            closed = True
    parts.append(template.final_prompt_value or "")
    return Prompt("".join(parts), _stops(eos, roles.get("assistant", NOTHING), roles.get("user", NOTHING)), bool(bos))


def _stops(eos: str, assistant: RoleTexts, user: RoleTexts) -> tuple[str, ...]:
    """What follows a reply, by the template: the end of the assistant's turn, or the beginning of the user's."""
    found = (eos, assistant.post_message.strip(), user.pre_message.strip())
    return tuple(dict.fromkeys(text for text in found if text))
