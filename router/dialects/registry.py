"""The open set of providers, by the name `provider` gives in a deployment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from router.dialects.base import Dialect
from router.dialects.mock.dialect import MockDialect
from router.dialects.openai import OpenAIDialect

PROVIDERS: Mapping[str, Callable[[], Dialect]] = MappingProxyType({"openai": OpenAIDialect, "mock": MockDialect})
