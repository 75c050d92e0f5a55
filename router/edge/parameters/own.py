"""The parameters that are the router's own: taken out of the body, so that they never travel on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from router.core.errors import RouterError
from router.core.grants import Grants
from router.core.prompts import PromptTemplate
from router.edge.parameters.checking import bad
from router.edge.parameters.fallbacks import Fallbacks, read_fallbacks
from router.edge.parameters.table import Owner, names_of
from router.edge.parameters.template import TEMPLATE, take_template

OVERRIDES = names_of(Owner.OVERRIDE)
NOTHING: Mapping[str, Any] = MappingProxyType({})
DEPLOYMENT_NAME = re.compile(r"(?=[^.])[A-Za-z0-9._-]{1,128}", re.ASCII)
_SPECIAL = names_of(Owner.ROUTER).union(OVERRIDES, TEMPLATE)


class RouterParameters(NamedTuple):
    """The router's own parameters of one request. `timeout` in seconds; None where the request does not say."""

    timeout: float | None = None
    num_retries: int | None = None
    fallbacks: Fallbacks | None = None
    context_window_fallbacks: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    deployment_id: str | None = None
    overrides: Mapping[str, Any] = NOTHING
    metadata: Mapping[str, Any] | None = None
    template: PromptTemplate | None = None


def take_own(body: dict[str, Any], grants: Grants | None = None) -> RouterParameters | None:
    """Remove the router's own parameters from `body`; None where there are none.

    Raises RouterError 400 for a wrong value, and 403 for an override that the key does not allow.
    """
    if _SPECIAL.isdisjoint(body):
        return None
    overrides = {name: value for name in OVERRIDES if (value := body.pop(name, None)) is not None}
    if overrides:
        refuse_forbidden(overrides, grants)
    keeps_metadata = body.get("store") is True
    parameters = RouterParameters(
        _timeout(body.pop("timeout", None)),
        _num_retries(body.pop("num_retries", None)),
        read_fallbacks(body.pop("fallbacks", None)),
        _window_fallbacks(body.pop("context_window_fallback_dict", None), body.get("model")),
        _tags(body.get("metadata"), keeps_metadata),
        _deployment_id(body.pop("deployment_id", None)),
        overrides,
        body.get("metadata"),
        take_template(body),
    )
    if not keeps_metadata:
        body.pop("metadata", None)
    return parameters


def refuse_forbidden(names: Iterable[str], grants: Grants | None) -> None:
    """Raises RouterError 403 for the first parameter that the key does not allow."""
    for name in names:
        if grants is None or name not in grants.allow:
            raise not_allowed(name)


def not_allowed(param: str, told: str = "") -> RouterError:
    return RouterError(403, "override_not_allowed", told or f"this key may not set `{param}`", param=param,
                       type="permission_error")  # fmt: skip


def _deployment_id(value: str | None) -> str | None:
    if value is not None and not DEPLOYMENT_NAME.fullmatch(value):
        raise bad("`deployment_id` must be a name of letters, digits, `-`, `_` and `.`", "deployment_id")
    return value


def _timeout(value: float | None) -> float | None:
    if value is not None and not 0.0 < value < float("inf"):
        raise bad("`timeout` must be a number of seconds above 0", "timeout")
    return value


def _num_retries(value: int | None) -> int | None:
    if value is not None and value < 0:
        raise bad("`num_retries` must not be negative", "num_retries")
    return value


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
