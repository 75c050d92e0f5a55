"""Values that fit a JSON schema, for the arguments of tool calls and structured output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 8
_MAX_ITEMS = 16


def sample(schema: object, root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """A value that fits `schema`: its required properties, the first of several choices, the smallest sizes.

    `root` is where `$ref` looks. Patterns and formats are not looked at.
    """
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return {} if depth == 0 else None
    root = schema if root is None else root
    if "$ref" in schema:
        return sample(_resolve(root, str(schema["$ref"])), root, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample(schema[key][0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema or depth == 0 else "string")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            properties = schema.get("properties") or {}
            return {name: sample(properties.get(name, {}), root, depth + 1) for name in schema.get("required") or ()}
        case "array":
            size = min(int(schema.get("minItems", 0)), _MAX_ITEMS)
            return [sample(schema.get("items", {}), root, depth + 1) for _ in range(size)]
        case "number" | "integer":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
    return "mock".ljust(int(schema.get("minLength", 0)), "k")[: schema.get("maxLength")]


def _resolve(root: Mapping[str, Any], reference: str) -> object:
    found: Any = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) and name else found
    return found
