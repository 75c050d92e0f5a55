"""One `Upstream` over several, by the origin's scheme."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import WireRequest
from router.upstream.base import Timing, Upstream, UpstreamResponse


class SchemeUpstream:
    """Sends by `wire.origin.scheme`; an unknown one is a CONNECT failure that lists the known."""

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self._upstreams = dict(upstreams)

    def send(self, wire: WireRequest, timing: Timing) -> Coroutine[Any, Any, UpstreamResponse]:
        """The other's coroutine itself: no frame of ours is added to the hot path."""
        upstream = self._upstreams.get(wire.origin.scheme)
        if upstream is None:
            known = ", ".join(sorted(self._upstreams))
            raise UpstreamFailure(FailureKind.CONNECT, f"unknown scheme {wire.origin.scheme!r} (known: {known})")
        return upstream.send(wire, timing)

    async def close(self) -> None:
        """Close every upstream, each once."""
        for upstream in {id(upstream): upstream for upstream in self._upstreams.values()}.values():
            await upstream.close()
