"""TLS between a socket and a connection, with a real server's end of it in memory."""

from __future__ import annotations

import asyncio
import gc
import shutil
import ssl
import weakref
from asyncio.subprocess import PIPE
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.types import TLS
from router.dialects.base import Origin
from router.upstream.client import HttpUpstream
from router.upstream.connect import Dialer
from router.upstream.plug import Transport
from router.upstream.reading import new_scratch
from router.upstream.secured import ONE_RECORD, Secured
from router.upstream.tls import Context, tls_context
from tests.certificates import Certificates
from tests.upstream.asking import post
from tests.upstream.scripted import Listener, stream_of, timing

MEGABYTES = b"0123456789abcdef" * 131072


class Socket:
    """The loop's transport."""

    def __init__(self) -> None:
        self.written = b""
        self.ending: str | None = None
        self.reading = True

    def write(self, data: bytes) -> None:
        assert self.ending is None
        self.written += data

    def close(self) -> None:
        self.ending = "closed"

    def abort(self) -> None:
        self.ending = self.ending or "aborted"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def get_extra_info(self, name: str) -> str:
        return name


class Reader:
    """Who is plugged in. Pauses after every `patience` reads."""

    def __init__(self, patience: int = 1_000_000) -> None:
        self.scratch = new_scratch()
        self.patience = patience
        self.transport: Transport | None = None
        self.text = b""
        self.reads = 0
        self.paused = False
        self.ends: list[Exception | str | None] = []
        self.full = False

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert not self.paused
        assert not self.ends
        assert 0 < len(data) <= ONE_RECORD
        self.text += data
        self.reads += 1
        if self.reads % self.patience == 0:
            self.pause()

    def pause(self) -> None:
        assert self.transport is not None
        self.paused = True
        self.transport.pause_reading()

    def resume(self) -> None:
        assert self.transport is not None
        self.paused = False
        self.transport.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.scratch

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.scratch[:nbytes]))

    def eof_received(self) -> None:
        assert not self.paused
        self.ends.append("end")

    def connection_lost(self, exc: Exception | None) -> None:
        self.ends.append(exc)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False


class Wire:
    """Both ends, hands shaken."""

    def __init__(self, certificates: Certificates, reader: Reader) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
        self.to_server, self.from_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context.wrap_bio(self.to_server, self.from_server, server_side=True)
        session = client_context(certificates).begin("localhost")
        for _ in range(3):
            for tls in (session.tls, self.server):
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                self.to_server.write(session.outgoing.read())
                session.incoming.write(self.from_server.read())
        self.socket = Socket()
        self.reader = reader
        self.secured = Secured(asyncio.get_running_loop(), reader, session)
        self.secured.connection_made(self.socket)

    def says(self, *pieces: bytes, goodbye: bool = False) -> bytes:
        """The ciphertext."""
        for piece in pieces:
            self.server.write(piece)
        if goodbye:
            with pytest.raises(ssl.SSLWantReadError):
                self.server.unwrap()
        return self.from_server.read()

    def hears(self) -> bytes:
        self.to_server.write(self.socket.written)
        self.socket.written = b""
        heard = b""
        while self.to_server.pending or self.server.pending():
            piece = self.server.read(65536)
            if not piece:
                return heard + b"<goodbye>"
            heard += piece
        return heard

    async def brings(self, ciphertext: bytes, sizes: Iterable[int]) -> None:
        """In reads of these sizes, then the rest; none while reading is paused."""
        for size in (*sizes, len(ciphertext)):
            if not ciphertext:
                return
            await self.reads_on()
            if self.socket.ending is not None:
                return
            self.secured.data_received(ciphertext[:size])
            ciphertext = ciphertext[size:]

    async def reads_on(self) -> None:
        """Until the reader has taken what there is."""
        while self.reader.paused:
            assert not self.socket.reading
            self.reader.resume()
            await asyncio.sleep(0)


def client_context(certificates: Certificates) -> Context:
    return tls_context(TLS(certificates.path("ca.pem")))


@given(
    pieces=st.lists(st.integers(1, 40_000), min_size=1, max_size=5),
    sizes=st.lists(st.one_of(st.integers(1, 30), st.integers(1, 20_000)), max_size=40),
    patience=st.sampled_from([1, 2, 3, 1_000_000]),
    goodbye=st.booleans(),
)
def test_all_arrives_in_order_however_it_is_cut_and_held_back(
    certificates: Certificates, pieces: list[int], sizes: list[int], patience: int, goodbye: bool
) -> None:
    async def main() -> None:
        wire = Wire(certificates, Reader(patience))
        said = [bytes([65 + number]) * size for number, size in enumerate(pieces)]
        await wire.brings(wire.says(*said, goodbye=goodbye), sizes)
        if wire.socket.ending is None:
            assert wire.secured.eof_received(), "the socket is not the loop's to close"
        await wire.reads_on()
        assert wire.reader.text == b"".join(said)
        assert wire.reader.ends == (["end"] if goodbye else [])
        assert wire.socket.ending == ("closed" if goodbye else "aborted")
        wire.secured.connection_lost(None)
        assert [type(end) for end in wire.reader.ends[goodbye:]] == [type(None) if goodbye else ssl.SSLEOFError]

    asyncio.run(main())


async def test_what_is_held_back_waits_as_it_came(certificates: Certificates) -> None:
    wire = Wire(certificates, Reader())
    await asyncio.sleep(0)  # the handshake's own end is read
    wire.reader.pause()
    ciphertext = wire.says(b"x" * 10_000)
    wire.secured.data_received(ciphertext)
    assert (wire.reader.text, wire.secured.waiting) == (b"", len(ciphertext))
    wire.reader.resume()
    assert wire.reader.text == b"", "not within the call of who resumes"
    await asyncio.sleep(0)
    assert wire.reader.text == b"x" * 10_000


async def test_a_body_is_encrypted_whole_and_the_server_s_slowness_is_told(certificates: Certificates) -> None:
    wire = Wire(certificates, Reader())
    wire.secured.write(MEGABYTES)
    assert wire.secured.get_write_buffer_size() > len(MEGABYTES)
    assert wire.hears() == MEGABYTES
    wire.secured.pause_writing()
    assert wire.reader.full
    wire.secured.resume_writing()
    assert not wire.reader.full


async def test_closing_says_goodbye_and_aborting_does_not(certificates: Certificates) -> None:
    polite, rude = Wire(certificates, Reader()), Wire(certificates, Reader())
    polite.secured.close()
    rude.secured.abort()
    assert (polite.hears(), polite.socket.ending) == (b"<goodbye>", "closed")
    assert (rude.hears(), rude.socket.ending) == (b"", "aborted")
    for wire in (polite, rude):
        wire.secured.write(b"late")
        wire.secured.close()
        wire.secured.data_received(wire.says(b"late"))
        wire.secured.connection_lost(None)
        wire.secured.abort()
        assert (wire.reader.text, wire.reader.ends, wire.socket.written) == (b"", [None], b"")


async def test_what_was_changed_on_its_way_is_not_handed_on(certificates: Certificates) -> None:
    wire = Wire(certificates, Reader())
    wire.secured.data_received(wire.says(b"whole"))
    forged = bytearray(wire.says(b"changed"))
    forged[-1] ^= 1
    wire.secured.data_received(bytes(forged))
    wire.secured.connection_lost(None)
    assert wire.reader.text == b"whole"
    assert wire.socket.ending == "aborted"
    assert [type(end) for end in wire.reader.ends] == [ssl.SSLError]


async def test_what_comes_with_the_end_of_the_handshake_is_read(certificates: Certificates) -> None:
    wire = Wire(certificates, Reader())
    wire.secured._incoming.write(wire.says(b"early"))
    wire.secured.connection_made(wire.socket)
    await asyncio.sleep(0)
    assert wire.reader.text == b"early"


@pytest.mark.parametrize("goodbye", [True, False])
async def test_it_is_free_once_it_is_closed(certificates: Certificates, goodbye: bool) -> None:
    wire = Wire(certificates, Reader())
    await asyncio.sleep(0)
    wire.secured.data_received(wire.says(b"text", goodbye=goodbye))
    wire.secured.eof_received()
    wire.secured.connection_lost(None)
    kinds = (Secured, ssl.MemoryBIO)
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(item, kinds) for item in gc.get_objects())
        left = weakref.ref(wire.reader)
        wire.reader.transport = None
        ends = wire.reader.ends
        del wire
        assert left() is None, "and not when the collector comes"
        assert sum(isinstance(item, kinds) for item in gc.get_objects()) < before or before == 0
        assert len(ends) == 2 if goodbye else len(ends) == 1
    finally:
        gc.enable()


async def test_a_record_is_handed_on_in_no_more_pieces_than_it_came_in(certificates: Certificates) -> None:
    for beyond in range(1, 12):
        wire = Wire(certificates, Reader())
        await asyncio.sleep(0)
        first = wire.says(b"x" * ONE_RECORD)
        text = first + wire.says(b"y" * ONE_RECORD)
        for piece in (text[: len(first) - 1], text[len(first) - 1 : len(first) + beyond], text[len(first) + beyond :]):
            wire.secured.data_received(piece)
        assert wire.reader.text == b"x" * ONE_RECORD + b"y" * ONE_RECORD
        assert wire.reader.reads <= 4


@pytest.mark.both_loops
@pytest.mark.parametrize("later", [False, True])
async def test_who_can_not_take_what_it_is_told_loses_the_connection(certificates: Certificates, later: bool) -> None:
    """A mistake of ours, and the worst would be a stream that goes on without what was lost."""

    class Broken(Reader):
        def data_received(self, data: bytes) -> None:
            raise LookupError("a mistake")

    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
    loop, complaints = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda loop, context: complaints.append(context["exception"]))
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"text")
        try:
            await reader.read()
        except ConnectionError:
            pass
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    origin = Origin("https", "localhost", server.sockets[0].getsockname()[1], TLS(certificates.path("ca.pem")))
    broken = Broken()
    await Dialer()(origin, broken)
    if later:
        broken.pause()
        await asyncio.sleep(0.1)
        broken.resume()
    async with asyncio.timeout(10):
        await gone.wait()
        while not broken.ends:  # noqa: ASYNC110 - the loop tells nobody else
            await asyncio.sleep(0.001)
    assert [type(complaint) for complaint in complaints] == [LookupError]
    server.close()
    await server.wait_closed()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
@pytest.mark.both_loops
async def test_a_server_may_change_its_keys_within_a_stream(certificates: Certificates, unused_tcp_port: int) -> None:
    """A command of `openssl s_server`: a line that is `K` changes its keys, and has the client change its own."""
    server = await asyncio.create_subprocess_exec(
        *("openssl", "s_server", "-accept", f"127.0.0.1:{unused_tcp_port}", "-tls1_3", "-naccept", "1"),
        *("-cert", certificates.path("server.pem"), "-key", certificates.path("server.key")),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    upstream = HttpUpstream()
    try:
        await server.stdout.readuntil(b"ACCEPT")
        asking = asyncio.ensure_future(
            upstream.send(post(unused_tcp_port, "/", tls=TLS(certificates.path("ca.pem"))), timing(20))
        )
        await server.stdout.readuntil(b"{}")
        server.stdin.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 27\r\n\r\ndata: 1\n\n"
        )
        stream = stream_of(await asking)
        listener = Listener()
        stream.attach(listener)
        for line in (b"K\n", b"data: 2\n\n", b"K\n", b"data: 3\n\n"):
            await asyncio.sleep(0.2)  # it is a command only if it comes alone
            server.stdin.write(line)
            await server.stdin.drain()
        assert await listener.end is None
        assert listener.text == b"data: 1\n\ndata: 2\n\ndata: 3\n\n"
    finally:
        if server.returncode is None:
            server.kill()
        await server.communicate()
        await upstream.close()
