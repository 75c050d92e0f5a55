"""pydantic's errors in the words of whoever writes the file. No message quotes a value: it may be a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic_core import ErrorDetails

from router.config.document import Path
from router.config.fields import NAME_PATTERN
from router.config.problems import did_you_mean
from router.config.structure import known_keys

_KINDS: Mapping[type, str] = MappingProxyType(
    {
        bool: "true or false",
        int: "a number",
        float: "a number with a fraction",
        dict: "a mapping",
        list: "a list",
        type(None): "null",
    }
)
_EXPECTED: Mapping[str, str] = MappingProxyType(
    {
        "int_type": "a whole number",
        "float_type": "a number",
        "bool_type": "true or false",
        "string_type": "text",
        "model_type": "a mapping",
        "dict_type": "a mapping",
        "tuple_type": "a list",
    }
)
_BOUNDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "greater_than": ("gt", "must be more than {}"),
        "greater_than_equal": ("ge", "must be {} or more"),
        "less_than": ("lt", "must be less than {}"),
        "less_than_equal": ("le", "must be {} or less"),
    }
)
_OTHERS: Mapping[str, Callable[[Mapping[str, Any]], str]] = MappingProxyType(
    {
        "missing": lambda context: "is missing",
        "string_too_short": lambda context: "is empty",
        "string_pattern_mismatch": lambda context: _mismatch(str(context["pattern"])),
        "literal_error": lambda context: f"expected one of {str(context['expected']).replace(' or ', ', ')}",
        "value_error": lambda context: str(context["error"]),
        "finite_number": lambda context: "must be a finite number",
    }
)


def path_of(error: ErrorDetails) -> Path:
    return tuple(step for step in error["loc"] if step != "[key]")


def message_of(error: ErrorDetails) -> str:
    kind = error["type"]
    context = error.get("ctx", {})
    path = path_of(error)
    if kind == "extra_forbidden":
        return f"unknown key{did_you_mean(str(path[-1]), known_keys(path[:-1]))}"
    if kind in _EXPECTED:
        found = _KINDS.get(type(error["input"]), "text")
        quotes = "; put it in quotes" if kind == "string_type" and found.startswith(("a number", "true")) else ""
        return f"expected {_EXPECTED[kind]}, not {found}{quotes}"
    if kind in _BOUNDS:
        name, text = _BOUNDS[kind]
        return text.format(f"{context[name]:.15g}")
    if kind in _OTHERS:
        return _OTHERS[kind](context)
    return error["msg"]


def _mismatch(pattern: str) -> str:
    if pattern == NAME_PATTERN:
        return "must be 1 to 256 characters of printable ASCII, without a space at either end"
    return "must begin with / and hold no spaces"
