"""The client's side of one request, as flow sees it. Nothing here waits; a slow client is told of through `hold`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from router.core.errors import RouterError
from router.core.events import Finished
from router.dialects.base import Headers
from router.upstream.base import BodyStream


class Exchange(Protocol):
    """Either one `reply`, or one `start`, any number of `write`, and one `end` or `fail`.

    When the client hangs up, the task that serves the request is cancelled; nothing is written any more, and writing is
    harmless.
    """

    @property
    def committed(self) -> bool:
        """Any byte of the response has been written: nothing can be retried any more."""

    @property
    def gone(self) -> bool:
        """The client has hung up."""

    def reply(self, body: bytes, record: Finished, upstream: Headers) -> None:
        """The whole response, head and body in one write. `record` and `upstream` are what its headers tell."""

    def start(self, frames: bytes, record: Finished, upstream: Headers) -> None:
        """The head of an event stream and its first frames, in one write."""

    def write(self, frames: bytes) -> None:
        """More frames of the stream."""

    def end(self, frames: bytes = b"") -> None:
        """The last frames, and the end of the stream."""

    def fail(self, error: RouterError) -> None:
        """An in-band error, and the end of the stream."""

    def hold(self, stream: BodyStream | None) -> None:
        """Pause and resume `stream` as the client reads slower or faster than it; None: no more."""


@runtime_checkable
class TakesChunks(Protocol):
    """An exchange that speaks HTTP/1.1's chunks itself."""

    def write_chunk(self, chunk: bytes) -> None:
        """More of the stream, in one chunk with its framing."""
