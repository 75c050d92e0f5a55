"""The check of every body: what must be there is, and what is known has its type."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from router.core.errors import RouterError
from router.core.types import Kind
from router.edge.parameters.table import REQUIRED, TYPES, Types

_NAMES = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "an array", dict: "an object"}


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
            raise bad(f"`{name}` must be {words_for(expected)}", name)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise bad("`model` is required and must be a non-empty string", "model")
    required = REQUIRED[kind]
    if not body.get(required):
        raise bad(f"`{required}` is required and must not be empty", required)
    if kind == "chat":
        for message in body["messages"]:
            if type(message) is not dict:
                raise bad("every entry of `messages` must be an object", "messages")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise bad("`stream_options` is allowed only with `stream: true`", "stream_options")


def words_for(types: Types) -> str:
    """`a string or an array`; what may be any number is not called an integer besides."""
    return " or ".join(_NAMES[item] for item in types if item is not int or float not in types)
