"""The seam between flow and the network: send one request, get a whole reply or a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from router.core.errors import UpstreamFailure
from router.dialects.base import Headers, WireRequest

GUARDED = "guarded"
"""Among upstreams by scheme, the one for hosts that clients have named."""


class Timing:
    """One attempt's limits. `connect` and `stream_idle` in seconds; `deadline` and `first_token` are moments on the
    loop's clock, `first_token` infinite for requests that do not stream. Not changed once made."""

    __slots__ = ("connect", "deadline", "first_token", "stream_idle")

    def __init__(self, deadline: float, connect: float, first_token: float, stream_idle: float) -> None:
        self.deadline = deadline
        self.connect = connect
        self.first_token = first_token
        self.stream_idle = stream_idle


class StreamSink(Protocol):
    """Who receives a streamed body. Called on the event loop, in order, and never after `closed`."""

    def data(self, data: bytes) -> None:
        """Body bytes, as many as one read from the socket brought."""

    def closed(self, failure: UpstreamFailure | None) -> None:
        """The body is complete (None), or will never be."""


ChunkTaker = Callable[[bytes, int], bool]
"""Takes one whole chunk of a chunked body as it came, framing included; its content begins at the offset and ends two
bytes before the end. Returns whether it did; what it did not take comes by `StreamSink.data`."""


class BodyStream(Protocol):
    """A response body still on its way."""

    def attach(self, sink: StreamSink) -> None:
        """Hand over what has come so far, then everything as it comes (possibly all within this call)."""

    def pause(self) -> None:
        """Stop reading from upstream (the client is slower than the model)."""

    def resume(self) -> None: ...

    def offer(self, taker: ChunkTaker) -> None:
        """Ask `taker` first from now on, where a whole chunk comes by itself."""

    def committed(self) -> None:
        """The first token has come: the first-token limit gives way to the idle limit (`Timing.stream_idle`)."""

    def abort(self) -> None:
        """Close the socket at once; the sink hears nothing more. Harmless once closed."""


class UpstreamResponse:
    """A response whose body is either whole (`body`, bytes as they came) or still coming (`stream`, for a 2xx
    `text/event-stream`, with `body` empty). Not changed once made."""

    __slots__ = ("body", "headers", "status", "stream")

    def __init__(self, status: int, headers: Headers, body: bytes, stream: BodyStream | None) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.stream = stream


class Upstream(Protocol):
    """Sends requests. One object serves every origin of a scheme."""

    async def send(self, wire: WireRequest, timing: Timing) -> UpstreamResponse:
        """Send, and return when the whole body is there or a stream's head is.

        Raises UpstreamFailure (CONNECT, DISCONNECTED, PROTOCOL, *_TIMEOUT). Cancellation closes the socket at once.
        """

    async def close(self) -> None:
        """Close every connection."""
