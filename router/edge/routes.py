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
    {prefix + path: kind for path, kind in _INFERENCE.items() for prefix in ("/v1", "", "/openai/v1")}
)
"""POST paths that are served inline, each with and without `/v1`, and as Azure has them."""

AZURE = "/openai/deployments/"
"""What paths begin with that have the model in them."""


def azure_route(path: str) -> tuple[str, Kind] | None:
    """The model and the kind of a path such as `/openai/deployments/gpt-4o/chat/completions`; None for any other."""
    rest = path.removeprefix(AZURE)
    if rest == path:
        return None
    for ending, kind in _INFERENCE.items():
        model = rest.removesuffix(ending)
        if model != rest and model.strip("/") == model != "":
            return model, kind
    return None


PAGES: Mapping[str, str] = MappingProxyType(
    {
        **{prefix + "/models": "models" for prefix in ("/v1", "", "/openai", "/openai/v1")},
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

MODEL_PREFIXES = ("/v1/models/", "/models/", "/openai/models/", "/openai/v1/models/")
