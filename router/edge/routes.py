"""The URL table: what answers which path. One dict lookup a request."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from router.core.types import Kind

_INFERENCE: Mapping[str, Kind] = {
    "/chat/completions": "chat",
    "/completions": "completion",
    "/embeddings": "embedding",
}

HOT: Mapping[str, Kind] = MappingProxyType(
    {prefix + path: kind for path, kind in _INFERENCE.items() for prefix in ("/v1", "")}
)
"""POST paths that are served inline, each with and without `/v1`."""

PAGES: Mapping[str, str] = MappingProxyType(
    {
        **{prefix + "/models": "models" for prefix in ("/v1", "")},
        "/health": "live",
        "/health/live": "live",
        "/health/ready": "ready",
        "/metrics": "metrics",
        **{prefix + "/router/status": "status" for prefix in ("/v1", "")},
    }
)
"""GET paths, by the name of the method of `Pages` that answers."""

POSTED: Mapping[str, str] = MappingProxyType({prefix + "/router/explain": "explain" for prefix in ("/v1", "")})
"""POST paths that infer nothing, by the name of the method of `Pages` that answers."""

MODEL_PREFIXES = ("/v1/models/", "/models/")
