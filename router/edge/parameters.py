"""The request's parameters: their types, and those that are the router's own and never travel on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, NoneType
from typing import Any, NamedTuple

from router.core.errors import RouterError
from router.core.types import Kind

_NUMBER = (int, float)
_COMMON: Mapping[str, tuple[type, ...]] = {
    "stream": (bool,),
    "stream_options": (dict,),
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "n": (int,),
    "stop": (str, list),
    "max_tokens": (int,),
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "logit_bias": (dict,),
    "seed": (int,),
    "user": (str,),
    "timeout": _NUMBER,
    "num_retries": (int,),
    "fallbacks": (list,),
    "context_window_fallback_dict": (dict,),
    "metadata": (dict,),
}
ROUTERS_OWN = frozenset({"timeout", "num_retries", "fallbacks", "context_window_fallback_dict", "metadata"})
TYPES: Mapping[Kind, Mapping[str, tuple[type, ...]]] = MappingProxyType(
    {
        "chat": {
            **_COMMON,
            "messages": (list,),
            "max_completion_tokens": (int,),
            "response_format": (dict,),
            "logprobs": (bool,),
            "top_logprobs": (int,),
            "tools": (list,),
            "tool_choice": (str, dict),
            "parallel_tool_calls": (bool,),
            "functions": (list,),
            "function_call": (str, dict),
        },
        "completion": {**_COMMON, "prompt": (str, list), "logprobs": (int,), "best_of": (int,), "echo": (bool,)},
        "embedding": {
            "input": (str, list),
            "dimensions": (int,),
            "encoding_format": (str,),
            **{name: _COMMON[name] for name in ("stream", "stream_options", "user", *sorted(ROUTERS_OWN))},
        },
    }
)
REQUIRED: Mapping[Kind, str] = MappingProxyType({"chat": "messages", "completion": "prompt", "embedding": "input"})

OVERRIDES = frozenset(
    {"api_base", "api_key", "api_version", "model_list", "headers", "extra_headers",
     "input_cost_per_token", "output_cost_per_token"}
)  # fmt: skip
NOT_YET = frozenset(
    {"deployment_id", "initial_prompt_value", "roles", "final_prompt_value", "bos_token", "eos_token", "hf_model_name"}
)
_NAMES = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "an array", dict: "an object"}
_SPECIAL = ROUTERS_OWN | OVERRIDES | NOT_YET


class RouterParameters(NamedTuple):
    """The router's own parameters of one request. `timeout` in seconds; None where the request does not say."""

    timeout: float | None = None
    num_retries: int | None = None
    fallbacks: tuple[str, ...] | None = None
    context_window_fallbacks: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()


def bad(message: str, param: str | None = None, code: str = "invalid_request_error") -> RouterError:
    """A 400 naming the parameter at fault."""
    return RouterError(400, code, message, param=param)


def check(kind: Kind, body: Mapping[str, Any]) -> None:
    """Raise RouterError 400 for a missing or wrongly typed parameter.

    Ranges are upstream's word; null is as good as absent.
    """
    types = TYPES[kind]
    for name, value in body.items():
        expected = types.get(name)
        if expected is not None and type(value) not in expected and type(value) is not NoneType:
            words = " or ".join(_NAMES[item] for item in expected if item is not int or float not in expected)
            raise bad(f"`{name}` must be {words}", name)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise bad("`model` is required and must be a non-empty string", "model")
    required = REQUIRED[kind]
    if not body.get(required):
        raise bad(f"`{required}` is required and must not be empty", required)
    if kind == "chat" and not all(type(message) is dict for message in body["messages"]):
        raise bad("every entry of `messages` must be an object", "messages")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise bad("`stream_options` is allowed only with `stream: true`", "stream_options")


def take_own(body: dict[str, Any]) -> RouterParameters | None:
    """Remove the router's own parameters from `body`; None where there are none.

    Raises RouterError 400 for a wrong value, and 403 for an override that the key does not allow.
    """
    if _SPECIAL.isdisjoint(body):
        return None
    for name in body:
        if name in OVERRIDES:
            raise RouterError(403, "override_not_allowed", f"this key may not set `{name}`", param=name,
                              type="permission_error")  # fmt: skip
        if name in NOT_YET:
            raise bad(f"`{name}` is not supported by this version", name, "unsupported_parameter")
    keeps_metadata = body.get("store") is True
    parameters = RouterParameters(
        _timeout(body.pop("timeout", None)),
        _num_retries(body.pop("num_retries", None)),
        _fallbacks(body.pop("fallbacks", None)),
        _window_fallbacks(body.pop("context_window_fallback_dict", None), body.get("model")),
        _tags(body.get("metadata"), keeps_metadata),
    )
    if not keeps_metadata:
        body.pop("metadata", None)
    return parameters


def _timeout(value: float | None) -> float | None:
    if value is not None and not 0.0 < value < float("inf"):
        raise bad("`timeout` must be a number of seconds above 0", "timeout")
    return value


def _num_retries(value: int | None) -> int | None:
    if value is not None and value < 0:
        raise bad("`num_retries` must not be negative", "num_retries")
    return value


def _fallbacks(value: list[Any] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    for item in value:
        if isinstance(item, dict) and set(item) != {"model"}:
            raise bad("parameters within `fallbacks` are not supported by this version", "fallbacks")
    names = [item["model"] if isinstance(item, dict) else item for item in value]
    if not all(isinstance(name, str) and name for name in names):
        raise bad("`fallbacks` must be an array of model names", "fallbacks")
    return tuple(names)


def _tags(metadata: dict[str, Any] | None, keeps_metadata: bool) -> tuple[str, ...]:
    """`metadata.tags`, which are the router's where they are a list: the endpoint's own metadata are texts."""
    value = None if metadata is None else metadata.get("tags")
    if value is None or (keeps_metadata and isinstance(value, str)):
        return ()
    if not isinstance(value, list) or not all(isinstance(tag, str) and tag for tag in value):
        raise bad("`metadata.tags` must be an array of non-empty strings", "metadata.tags")
    return tuple(value)


def _window_fallbacks(value: dict[str, Any] | None, model: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not all(isinstance(name, str) and name for name in value.values()):
        raise bad("`context_window_fallback_dict` must map model names to model names", "context_window_fallback_dict")
    return (value[model],) if isinstance(model, str) and model in value else None
