"""What an upstream's address and headers may look like. Messages never quote them: both may hold secrets."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import SecretStr

from router.config.fields import check_header_text

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_VISIBLE = re.compile(r"[!-~]+", re.ASCII)

HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade", "expect"}
)  # fmt: skip
OWN = frozenset({"host", "content-length", "content-type", "accept-encoding", "authorization", "x-request-id"})
"""What the router itself must say."""


def check_api_base(url: str) -> str:
    """`url` in one spelling, so that one upstream is one backend. Raises ValueError for what is no base address."""
    if not _VISIBLE.fullmatch(url):
        raise ValueError("holds a space or another character that no address has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is no valid address; it looks like https://host[:port][/path]") from None
    if parts.scheme == "unix":
        return _check_unix(url, parts.netloc, parts.path)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("must begin with http:// or https:// and a host")
    if "@" in parts.netloc:
        raise ValueError("must hold no user or password; the key goes into api_key")
    if "?" in url or "#" in url:
        raise ValueError("must hold no query and no fragment (? or #)")
    if "\\" in url or not _is_host(parts.netloc, parts.hostname or "") or port == 0 or parts.netloc.endswith(":"):
        raise ValueError("has no valid host and port")
    path = parts.path.rstrip("/")
    if path.endswith(("/completions", "/embeddings")):
        raise ValueError("must end before /chat/completions: the router adds that, as the request needs it")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def check_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    """Raises ValueError, naming the header, for what may not be sent."""
    seen: set[str] = set()
    for name, value in headers.items():
        lowered = name.lower()
        if not _TOKEN.fullmatch(name):
            raise ValueError("a header's name holds a character that HTTP does not allow there")
        if lowered in HOP_BY_HOP or lowered in OWN:
            more = "; the key goes into api_key" if lowered == "authorization" else ""
            raise ValueError(f"{lowered} is set by the router itself{more}")
        if lowered in seen:
            raise ValueError(f"{lowered} is given twice")
        seen.add(lowered)
        try:
            check_header_text(value.get_secret_value())
        except ValueError as error:
            raise ValueError(f"the value of {lowered} {error}") from None
    return headers


def _check_unix(url: str, netloc: str, path: str) -> str:
    """`unix:///run/model.sock:/v1`: a socket's path and, behind a colon, the path on the server."""
    socket, _, base = path.partition(":")
    if netloc or not socket.strip("/") or "?" in url or "#" in url or len(socket.encode()) > 107:
        raise ValueError("is no valid socket; it looks like unix:///run/model.sock:/v1")
    if base and not base.startswith("/"):
        raise ValueError("must have a path that begins with / behind the socket's, such as unix:///run/model.sock:/v1")
    return f"unix://{socket}:{base}".rstrip("/:")


def _is_host(netloc: str, host: str) -> bool:
    if netloc.startswith("["):
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
        return True
    return len(host) <= 253 and all(map(_LABEL.fullmatch, host.removesuffix(".").split(".")))
