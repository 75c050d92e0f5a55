"""A relay between two players who write down what is done to them, and when."""

from __future__ import annotations

import asyncio

from router.core.errors import RouterError, UpstreamFailure
from router.core.events import Finished
from router.dialects.base import Headers
from router.dialects.openai_stream import OpenAIStream
from router.flow.relay import Relay
from router.state.base import Lease
from router.upstream.base import BodyStream, ChunkTaker, StreamSink

Entry = tuple[float, str] | tuple[float, str, bytes]


class Log:
    """The transcript: seconds since the start, what was called, and the frames that went with it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.entries: list[Entry] = []

    def note(self, what: str, frames: bytes | None = None) -> None:
        now = round(self._loop.time() - self._began, 6)
        self.entries.append((now, what) if frames is None else (now, what, frames))


class Line:
    """Upstream's side: a `BodyStream`. `arrived` is what came before anybody listened."""

    def __init__(self, log: Log, arrived: bytes) -> None:
        self._log = log
        self._arrived = arrived
        self.sink: StreamSink | None = None
        self.taker: ChunkTaker | None = None

    def offer(self, taker: ChunkTaker) -> None:
        self.taker = taker

    def attach(self, sink: StreamSink) -> None:
        self.sink = sink
        if self._arrived:
            sink.data(self._arrived)

    def pause(self) -> None:
        self._log.note("pause")

    def resume(self) -> None:
        self._log.note("resume")

    def committed(self) -> None:
        self._log.note("committed")

    def abort(self) -> None:
        self._log.note("abort")


class Reader:
    """The client's side: an `Exchange`. `full`: its buffer has no room, so it pauses what it is given to hold."""

    committed = False
    gone = False

    def __init__(self, log: Log, full: bool) -> None:
        self._log = log
        self._full = full

    def reply(self, body: bytes, record: Finished, upstream: Headers) -> None:
        raise AssertionError("a relay has no whole replies")

    def start(self, frames: bytes, record: Finished, upstream: Headers) -> None:
        self._log.note("start", frames)

    def write(self, frames: bytes) -> None:
        self._log.note("write", frames)

    def end(self, frames: bytes = b"") -> None:
        self._log.note("end", frames)

    def fail(self, error: RouterError) -> None:
        raise AssertionError("that is for the runner to say")

    def hold(self, stream: BodyStream | None) -> None:
        self._log.note("hold" if stream else "let go")
        if stream is not None and self._full:
            stream.pause()


class ChunkReader(Reader):
    """A client's side that writes chunks itself."""

    def write_chunk(self, chunk: bytes) -> None:
        self._log.note("chunk", chunk)


class Stage:
    """The relay under test, running. `transcript` is what happened so far."""

    def __init__(
        self,
        *,
        silence: float = 0.0,
        arrived: bytes = b"",
        full: bool = False,
        decoder: OpenAIStream | None = None,
        lease: Lease | None = None,
        chunks: bool = False,
    ) -> None:
        self._log = Log()
        self._line = Line(self._log, arrived)
        reader = ChunkReader(self._log, full) if chunks else Reader(self._log, full)
        decoder = decoder or OpenAIStream(False)
        self.relay = Relay(self._line, decoder, reader, Finished("req-1", "chat"), {}, silence, lease)
        self.running = asyncio.create_task(self.relay.run())

    @property
    def transcript(self) -> list[Entry]:
        return self._log.entries

    @property
    def calls(self) -> list[str]:
        return [entry[1] for entry in self.transcript]

    @property
    def frames(self) -> list[Entry]:
        """What the client got."""
        return [entry for entry in self.transcript if len(entry) == 3]

    async def reads(self, data: bytes, after: float = 0.0) -> None:
        """Upstream's next read."""
        await asyncio.sleep(after)
        self.sink.data(data)

    async def offered(self, chunk: bytes, after: float = 0.0) -> bool:
        """The same, of one whole chunk that went past upstream's parser; whether the relay took it."""
        await asyncio.sleep(after)
        taker = self._line.taker
        return taker is not None and taker(chunk, chunk.index(b"\r\n") + 2)

    def reads_at(self, data: bytes, after: float) -> None:
        """The same, on a timer: nothing else gets its turn in between."""
        asyncio.get_running_loop().call_later(after, lambda: self.sink.data(data))

    async def closes(self, failure: UpstreamFailure | None = None) -> UpstreamFailure | None:
        """The end of upstream's body; returns what the relay makes of it."""
        await asyncio.sleep(0)
        self.sink.closed(failure)
        return await self.running

    @property
    def sink(self) -> StreamSink:
        assert self._line.sink is not None
        return self._line.sink
