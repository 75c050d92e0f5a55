"""The request's own fallbacks: model names, or objects whose other members replace the body's for that model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from router.edge.parameters.checking import bad
from router.edge.parameters.table import PARAMETERS, Owner

_KEPT_OUT = frozenset(
    row.name for row in PARAMETERS if row.owner not in (Owner.UPSTREAM, Owner.TEMPLATE)
) | {"stream", "stream_options"}  # fmt: skip
"""What one attempt cannot change: it belongs to the request as a whole, or needs a permission."""


class Fallbacks(NamedTuple):
    """`models` in order; `changes` by model, for those that came with any."""

    models: tuple[str, ...]
    changes: Mapping[str, Mapping[str, Any]] | None = None


def read_fallbacks(value: list[Any] | None) -> Fallbacks | None:
    """None where there are none. Raises RouterError 400."""
    if value is None:
        return None
    changes: dict[str, Mapping[str, Any]] = {}
    models = []
    for item in value:
        name = item.get("model") if isinstance(item, dict) else item
        if not isinstance(name, str) or not name:
            raise bad("`fallbacks` must be an array of model names, or of objects with a `model`", "fallbacks")
        models.append(name)
        if isinstance(item, dict) and len(item) > 1:
            strays = sorted(_KEPT_OUT.intersection(item) - {"model"})
            if strays:
                raise bad(f"`{strays[0]}` cannot be set for one of `fallbacks`", "fallbacks")
            changes.setdefault(name, {key: told for key, told in item.items() if key != "model"})
    return Fallbacks(tuple(models), changes or None)
