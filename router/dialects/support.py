"""What becomes of each parameter of the API in a dialect: sent, emulated or refused. `docs/parameters.md` shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from router.dialects.failures import unsupported


class Fate(Enum):
    SENT = "sent"
    EMULATED = "emulated"
    REFUSED = "refused"


class How(NamedTuple):
    """`note`: under which name, or by what means."""

    fate: Fate
    note: str = ""


Support = Mapping[str, How]
"""By parameter of a chat completion. What is not in it, the router does not know: it travels on untouched."""

SENT = How(Fate.SENT)
REFUSED = How(Fate.REFUSED)


def sent_as(name: str) -> How:
    return How(Fate.SENT, name)


def emulated(note: str) -> How:
    return How(Fate.EMULATED, note)


CHAT: Support = MappingProxyType(
    {
        "model": emulated("the deployment's `model`"),
        **dict.fromkeys(
            ("messages", "temperature", "top_p", "n", "stop", "presence_penalty", "frequency_penalty", "logit_bias",
             "user", "seed", "response_format", "logprobs", "top_logprobs", "stream", "tools", "tool_choice",
             "parallel_tool_calls", "functions", "function_call"),
            SENT,
        ),
        "max_tokens": sent_as("the deployment's `max_tokens_name`"),
        "max_completion_tokens": sent_as("the deployment's `max_tokens_name`"),
        "stream_options": sent_as("`stream_options`, always with `include_usage`"),
    }
)  # fmt: skip
"""OpenAI's own."""

_NEUTRAL: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "n": lambda value: value == 1,
        "best_of": lambda value: value == 1,
        "presence_penalty": lambda value: value == 0,
        "frequency_penalty": lambda value: value == 0,
        "logprobs": lambda value: not value,
        "top_logprobs": lambda value: value == 0,
        "logit_bias": lambda value: not value,
        "tools": lambda value: not value,
        "functions": lambda value: not value,
        "tool_choice": lambda value: value in ("none", "auto"),
        "function_call": lambda value: value in ("none", "auto"),
        "parallel_tool_calls": lambda value: True,
        "response_format": lambda value: value.get("type") == "text",
    }
)
"""Values that ask for what a dialect without the parameter does anyway."""


def expressible(body: Mapping[str, Any], support: Support, *, drop: bool) -> dict[str, Any]:
    """`body` without what the dialect refuses: a null, a value that asks for nothing and, with `drop`, any.

    Raises UpstreamFailure (a 400 naming the parameter) for any other.
    """
    kept = {}
    for name, value in body.items():
        how = support.get(name)
        if how is None or how.fate is not Fate.REFUSED:
            kept[name] = value
        elif not drop and value is not None and not _asks_nothing(name, value):
            raise unsupported(name, f"`{name}` cannot be expressed to this model's deployment; set drop_params on it to"
                              " leave such parameters out")  # fmt: skip
    return kept


def _asks_nothing(name: str, value: Any) -> bool:
    neutral = _NEUTRAL.get(name)
    return neutral is not None and neutral(value)
