"""The head of a request to a deployment: where it goes, and the fields that are the same every time."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from router import __version__
from router.core.types import Deployment
from router.dialects.base import Origin


def origin_of(deployment: Deployment) -> Origin:
    """Where `deployment` is reached."""
    base = urlsplit(deployment.api_base)
    if base.scheme == "unix":
        return Origin("unix", base.path.partition(":")[0], 0, deployment.tls)
    port = base.port or (443 if base.scheme == "https" else 80)
    return Origin(base.scheme, base.hostname or "", port, deployment.tls)


def base_path(deployment: Deployment) -> str:
    """The path in the deployment's address, without a slash at its end."""
    base = urlsplit(deployment.api_base)
    path = base.path if base.scheme != "unix" else base.path.partition(":")[2]
    return path.rstrip("/")


def post(deployment: Deployment, path: str, credentials: Mapping[str, str]) -> bytes:
    """The request line for `path`, and the fields, without the blank line."""
    base = urlsplit(deployment.api_base)
    fields = {
        "host": base.netloc.rpartition("@")[2] or "localhost",
        "user-agent": f"llm-router/{__version__}",
        "accept-encoding": "identity",
        "content-type": "application/json",
        **credentials,
        **{name.lower(): value for name, value in deployment.headers.items()},
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "".join(line + "\r\n" for line in lines).encode("latin-1")


def whole(head: bytes, request_id: str, size: int) -> bytes:
    """`head` with what differs from request to request, and its blank line. `size`: the body's bytes."""
    return b"%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (head, request_id.encode(), size)
