"""A GET that asks how a deployment is."""

from __future__ import annotations

from urllib.parse import urlsplit

from router import __version__
from router.core.types import Deployment
from router.dialects.base import WireRequest
from router.dialects.head import base_path, origin_of


def probe_request(deployment: Deployment, path: str) -> WireRequest:
    """A GET of `path` on the deployment's host.

    It carries no key, and the deployment's `headers` only below its `api_base`: what else is on that host is none of
    theirs.
    """
    fields = {
        "host": urlsplit(deployment.api_base).netloc.rpartition("@")[2] or "localhost",
        "user-agent": f"llm-router/{__version__}",
        "accept-encoding": "identity",
    }
    if path.startswith(f"{base_path(deployment)}/"):
        fields.update({name.lower(): value for name, value in deployment.headers.items()})
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
    return WireRequest(origin_of(deployment), head, b"", deployment)
