from __future__ import annotations

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import WireRequest
from router.upstream.base import Timing, Upstream, UpstreamResponse
from router.upstream.schemes import SchemeUpstream
from tests.upstream.scripted import REQUEST, timing
from tests.virtual_time import virtual_time


class Named:
    def __init__(self, name: bytes) -> None:
        self.name = name
        self.closed = 0

    async def send(self, wire: WireRequest, timing: Timing) -> UpstreamResponse:
        return UpstreamResponse(200, {}, self.name, None)

    async def close(self) -> None:
        self.closed += 1


@virtual_time
async def test_each_scheme_has_its_upstream_and_all_are_closed_once() -> None:
    web, mock = Named(b"web"), Named(b"mock")
    upstream: Upstream = SchemeUpstream({"http": web, "https": web, "mock": mock})
    for scheme, name in (("http", b"web"), ("https", b"web"), ("mock", b"mock")):
        response = await upstream.send(REQUEST._replace(origin=REQUEST.origin._replace(scheme=scheme)), timing())
        assert response.body == name
    await upstream.close()
    assert (web.closed, mock.closed) == (1, 1)


@virtual_time
async def test_an_unknown_scheme_lists_the_known_ones() -> None:
    upstream = SchemeUpstream({"mock": Named(b""), "http": Named(b"")})
    with pytest.raises(UpstreamFailure, match=r"unknown scheme 'gopher' \(known: http, mock\)") as caught:
        await upstream.send(REQUEST._replace(origin=REQUEST.origin._replace(scheme="gopher")), timing())
    assert caught.value.kind is FailureKind.CONNECT
