"""The JSON Schema of `router.yaml`, for editors."""

from __future__ import annotations

import json
from typing import Any

from router.config.schema import Settings

_EXPANDED = {"type": "string", "pattern": r"\$\{"}
_NOT_TEXT = ("integer", "number", "boolean")


def schema_text() -> str:
    """The schema as indented JSON. Numbers and booleans may also be text with a `${…}` in it."""
    schema = _loosened(Settings.model_json_schema())
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "router.yaml"}
    return json.dumps({**head, **{key: value for key, value in schema.items() if key not in head}}, indent=2) + "\n"


def _loosened(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_loosened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {
        key: {name: _loosened(item) for name, item in value.items()}
        if key in ("properties", "$defs")
        else _loosened(value)
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }
    if schema.get("type") in _NOT_TEXT:
        kept = {key: schema.pop(key) for key in ("description", "default") if key in schema}
        return {"anyOf": [schema, _EXPANDED], **kept}
    return schema
