"""A text completion as a request for TGI: `{inputs, parameters}`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from router.core.errors import FailureKind
from router.dialects.failures import unsupported
from router.dialects.support import REFUSED, SENT, Support, emulated, expressible, sent_as

SUPPORT: Support = MappingProxyType(
    {
        "model": emulated("not sent: a server has one model"),
        "messages": emulated("`inputs`, by the template"),
        "temperature": emulated("`parameters.temperature`; 0: `do_sample: false`"),
        "top_p": emulated("`parameters.top_p`; 1: not sent"),
        "stop": sent_as("`parameters.stop`, with the template's own"),
        "frequency_penalty": sent_as("`parameters.frequency_penalty`"),
        "seed": sent_as("`parameters.seed`"),
        "max_tokens": sent_as("`parameters.max_new_tokens`"),
        "max_completion_tokens": sent_as("`parameters.max_new_tokens`"),
        "response_format": emulated("`parameters.grammar`; JSON without a schema: any object"),
        "stream": emulated("the path"),
        "stream_options": emulated("the router counts what is not told"),
        "user": emulated("not sent: nobody there reads it"),
        **dict.fromkeys(
            ("n", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "tools", "tool_choice",
             "parallel_tool_calls", "functions", "function_call"),
            REFUSED,
        ),
    }
)  # fmt: skip

_COMPLETION: Support = MappingProxyType({**SUPPORT, "prompt": SENT, "best_of": SENT, "echo": SENT})
_NOT_SENT = frozenset(
    {"model", "prompt", "stream", "stream_options", "user", "temperature", "top_p", "max_tokens", "echo",
     "response_format", "store", "stop"}
)  # fmt: skip


def generate_body(body: Mapping[str, Any], *, drop: bool) -> dict[str, Any]:
    """TGI's body for that of a text completion. What the router does not know travels on as a parameter.

    Raises UpstreamFailure (a 400 naming the parameter) for what TGI cannot express.
    """
    kept = expressible(body, _COMPLETION, drop=drop)
    parameters = {name: value for name, value in kept.items() if name not in _NOT_SENT and value is not None}
    parameters["details"] = True
    parameters["return_full_text"] = kept.get("echo") is True
    temperature, top_p = kept.get("temperature"), kept.get("top_p")
    if temperature:
        parameters |= {"temperature": temperature, "do_sample": True}
    elif temperature == 0:
        parameters["do_sample"] = False
    if top_p is not None and 0 < top_p < 1:
        parameters["top_p"] = top_p
    if kept.get("max_tokens") is not None:
        parameters["max_new_tokens"] = kept["max_tokens"]
    stops = stops_of(kept)
    if stops:
        parameters["stop"] = stops
    grammar = _grammar(kept.get("response_format"))
    if grammar is not None:
        parameters["grammar"] = grammar
    return {"inputs": _inputs(kept.get("prompt")), "parameters": parameters}


def stops_of(body: Mapping[str, Any]) -> list[str]:
    stop = body.get("stop")
    return [stop] if isinstance(stop, str) else [text for text in stop or () if isinstance(text, str)]


def _inputs(prompt: Any) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        (prompt,) = prompt
    if not isinstance(prompt, str):
        raise unsupported("prompt", "this model takes one prompt at a time, as text", FailureKind.UNSUPPORTED)
    return prompt


def _grammar(wanted: Any) -> dict[str, Any] | None:
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_object":
        return {"type": "json", "value": {"type": "object"}}
    if kind == "json_schema":
        told = wanted.get("json_schema")
        schema = told.get("schema") if isinstance(told, dict) else None
        if not isinstance(schema, dict):
            raise unsupported("response_format", "`response_format.json_schema.schema` must be an object",
                              FailureKind.REJECTED)  # fmt: skip
        return {"type": "json", "value": schema}
    return None
