"""Requests to the real servers."""

from __future__ import annotations

from router.core.types import TLS
from router.dialects.base import Origin, WireRequest
from router.upstream.base import UpstreamResponse
from router.upstream.client import HttpUpstream
from tests.upstream.scripted import DEPLOYMENT, timing, whole


def post(port: int, path: str, body: bytes = b"{}", host: str = "127.0.0.1", tls: TLS | None = None) -> WireRequest:
    head = f"POST {path} HTTP/1.1\r\nhost: upstream.test\r\ncontent-length: {len(body)}\r\n\r\n"
    origin = Origin("http", host, port) if tls is None else Origin("https", host, port, tls)
    return WireRequest(origin, head.encode(), body, DEPLOYMENT)


async def fetch(upstream: HttpUpstream, wire: WireRequest) -> tuple[UpstreamResponse, bytes]:
    response = await upstream.send(wire, timing(20))
    return response, await whole(response)
