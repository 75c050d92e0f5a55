"""The schema as a tree to walk: what may stand at a path."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin

from router.config.document import Path
from router.config.fields import Section
from router.config.schema import Settings


def type_at(path: Path) -> Any:
    """The type of the setting at `path`, without its null; None where the schema knows no such path."""
    found: Any = Settings
    for step in path:
        origin, arguments = get_origin(found), get_args(found)
        if origin is dict:
            found = arguments[1]
        elif origin is tuple:
            found = arguments[0]
        elif is_section(found) and step in found.model_fields:
            found = found.model_fields[step].annotation
        else:
            return None
        found = _bare(found)
    return found


def known_keys(path: Path) -> list[str]:
    """The keys of the section at `path`."""
    found = type_at(path)
    return list(found.model_fields) if is_section(found) else []


def is_section(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Section)


def _bare(found: Any) -> Any:
    while True:
        if get_origin(found) is Annotated:
            found = get_args(found)[0]
        elif get_origin(found) in (Union, types.UnionType) and type(None) in get_args(found):
            found = next(part for part in get_args(found) if part is not type(None))
        else:
            return found
