"""Every parameter the router knows: who it is for, its types by kind of request, and what happens to it.

`docs/parameters.md` is made from this table. What is not in it travels on untouched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from router.core.types import KINDS, Kind

Types = tuple[type, ...]

_NUMBER: Types = (int, float)
_TEXTS: tuple[Kind, ...] = ("chat", "completion")


class Owner(Enum):
    """Whose parameter it is. Only UPSTREAM's ever leave the router."""

    UPSTREAM = "upstream"
    ROUTER = "router"
    OVERRIDE = "override"  # needs the key's permission
    TEMPLATE = "template"  # shapes the prompt of a text-completion upstream


class Parameter(NamedTuple):
    """One row. `types` are JSON's as Python has them; `kinds` are the requests it belongs to; `required` in all."""

    name: str
    types: Types
    does: str
    owner: Owner = Owner.UPSTREAM
    kinds: tuple[Kind, ...] = KINDS
    required: bool = False


def _rows() -> Iterator[Parameter]:
    yield Parameter("model", (str,), "the model group or alias to route", required=True)
    yield Parameter("messages", (list,), "the conversation", kinds=("chat",), required=True)
    yield Parameter("prompt", (str, list), "the text to go on with", kinds=("completion",), required=True)
    yield Parameter("input", (str, list), "the texts to embed", kinds=("embedding",), required=True)

    yield Parameter("temperature", _NUMBER, "how freely to sample", kinds=_TEXTS)
    yield Parameter("top_p", _NUMBER, "the share of likely tokens to sample from", kinds=_TEXTS)
    yield Parameter("n", (int,), "how many choices", kinds=_TEXTS)
    yield Parameter("stop", (str, list), "texts that end the reply", kinds=_TEXTS)
    yield Parameter("presence_penalty", _NUMBER, "against tokens that occurred", kinds=_TEXTS)
    yield Parameter("frequency_penalty", _NUMBER, "against tokens by how often they occurred", kinds=_TEXTS)
    yield Parameter("logit_bias", (dict,), "for or against certain tokens", kinds=_TEXTS)
    yield Parameter("user", (str,), "whose request it is")
    yield Parameter("seed", (int,), "to repeat a reply", kinds=_TEXTS)
    yield Parameter("response_format", (dict,), "JSON, or JSON by a schema", kinds=("chat",))
    yield Parameter("logprobs", (bool,), "whether to tell the tokens' log probabilities", kinds=("chat",))
    yield Parameter("logprobs", (int,), "how many tokens' log probabilities to tell", kinds=("completion",))
    yield Parameter("top_logprobs", (int,), "of how many other tokens", kinds=("chat",))
    yield Parameter("best_of", (int,), "how many to choose from", kinds=("completion",))
    yield Parameter("echo", (bool,), "whether to begin with the prompt", kinds=("completion",))
    yield Parameter("max_tokens", (int,), "the longest reply", kinds=_TEXTS)
    yield Parameter("max_completion_tokens", (int,), "the longest reply, reasoning included", kinds=("chat",))
    yield Parameter("stream", (bool,), "whether to send the reply as it comes")
    yield Parameter("stream_options", (dict,), "with `stream` only; whether to tell the usage")
    yield Parameter("tools", (list,), "the functions the model may call", kinds=("chat",))
    yield Parameter("tool_choice", (str, dict), "which of them it must or may call", kinds=("chat",))
    yield Parameter("parallel_tool_calls", (bool,), "whether it may call several at once", kinds=("chat",))
    yield Parameter("functions", (list,), "deprecated: `tools`", kinds=("chat",))
    yield Parameter("function_call", (str, dict), "deprecated: `tool_choice`", kinds=("chat",))
    yield Parameter("dimensions", (int,), "the length of the vectors", kinds=("embedding",))
    yield Parameter("encoding_format", (str,), "`float` or `base64`", kinds=("embedding",))

    own = Owner.ROUTER
    yield Parameter("timeout", _NUMBER, "seconds for the whole request; at most `routing.timeout`", own)
    yield Parameter("num_retries", (int,), "retries within the model; attempts stay within `max_attempts`", own)
    yield Parameter("fallbacks", (list,), "models to try when it fails, in place of the configured ones", own)
    yield Parameter("context_window_fallback_dict", (dict,), "by model, where to send prompts too long for it", own)
    yield Parameter("metadata", (dict,), "for the log line; `tags` choose deployments", own)

    yield Parameter("deployment_id", (str,), "Azure: the deployment to use there, in place of the configured one", own)

    override = Owner.OVERRIDE
    yield Parameter("api_base", (str,), "the host to use", override)
    yield Parameter("api_key", (str,), "the key to use there", override)
    yield Parameter("api_version", (str,), "Azure's `api-version`", override)
    yield Parameter("model_list", (list,), "deployments of the request's own", override)
    yield Parameter("headers", (dict,), "header fields for upstream", override)
    yield Parameter("extra_headers", (dict,), "the same; these win", override)
    yield Parameter("input_cost_per_token", _NUMBER, "the price of a prompt token", override)
    yield Parameter("output_cost_per_token", _NUMBER, "the price of a completion token", override)

    template = Owner.TEMPLATE
    yield Parameter("initial_prompt_value", (str,), "what the prompt begins with", template)
    yield Parameter("roles", (dict,), "what stands before and after each role's messages", template)
    yield Parameter("final_prompt_value", (str,), "what the prompt ends with", template)
    yield Parameter("bos_token", (str,), "the token that begins a text", template)
    yield Parameter("eos_token", (str,), "the token that ends one", template)
    yield Parameter("hf_model_name", (str,), "a known chat template, by its name", template)


PARAMETERS: tuple[Parameter, ...] = tuple(_rows())

TYPES: Mapping[Kind, Mapping[str, Types]] = MappingProxyType(
    {
        kind: {
            row.name: row.types
            for row in PARAMETERS
            if kind in row.kinds and row.owner in (Owner.UPSTREAM, Owner.ROUTER) and row.name != "model"
        }
        for kind in KINDS
    }
)
"""What is checked of every body; the others are checked by whoever takes them out of it."""

REQUIRED: Mapping[Kind, str] = MappingProxyType(
    {kind: row.name for kind in KINDS for row in PARAMETERS if row.kinds == (kind,) and row.required}
)


def names_of(owner: Owner) -> frozenset[str]:
    return frozenset(row.name for row in PARAMETERS if row.owner is owner)
