"""What a request becomes for those of its fallbacks that change its body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from router.core.types import ModelGroup
from router.dialects.base import InferenceRequest
from router.edge.parameters import check
from router.edge.parameters.template import take_template


def hops_of(
    request: InferenceRequest,
    changes: Mapping[str, Mapping[str, Any]],
    find_group: Callable[[str, str], ModelGroup],
) -> dict[str, InferenceRequest]:
    """By model group: `request` with the members that `changes` has for it in place of its own.

    Raises RouterError: as the changed body itself would be refused, and for models that are not served.
    """
    found: dict[str, InferenceRequest] = {}
    for model, changed in changes.items():
        body = {**request.body, **changed}
        own = take_template(body)
        check(request.kind, body)
        template = own if own is None or request.template is None else own.over(request.template)
        group = find_group(model, "fallbacks")
        found.setdefault(
            group.name,
            replace(request, body=body, raw=orjson.dumps(body), template=template or request.template),
        )
    return found
