"""Resolving, racing and shaking hands, over real sockets on the loopback and over scripted ones."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import TLS
from router.dialects.base import Origin
from router.upstream import sockets
from router.upstream.client import HttpUpstream
from router.upstream.connect import Dialer, describe, hand_over
from router.upstream.plug import Transport
from router.upstream.reading import new_scratch
from router.upstream.sockets import Address, race
from router.upstream.tls import tls_context
from tests.upstream.asking import post
from tests.upstream.scripted import timing
from tests.virtual_time import virtual_time


def v4(last: int) -> Address:
    return (socket.AF_INET, socket.IPPROTO_TCP, (f"192.0.2.{last}", 80))


def v6(last: int) -> Address:
    return (socket.AF_INET6, socket.IPPROTO_TCP, (f"2001:db8::{last}", 80, 0, 0))


class Addresses:
    """A network where each address connects after some seconds, or fails after some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *plan: tuple[Address, float, OSError | None]) -> None:
        self._plan = {address: (seconds, error) for address, seconds, error in plan}
        self.tried: list[tuple[Address, float]] = []
        self.sockets: list[socket.socket] = []
        monkeypatch.setattr(sockets, "connect", self._connect)

    async def _connect(self, loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
        self.tried.append((address, loop.time() - 1000))
        seconds, error = self._plan[address]
        sock = socket.socket(address[0], socket.SOCK_STREAM)
        self.sockets.append(sock)
        try:
            await asyncio.sleep(seconds)
            if error is not None:
                raise error
        except BaseException:
            sock.close()
            raise
        return sock

    @property
    def open(self) -> int:
        return sum(sock.fileno() != -1 for sock in self.sockets)


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
UNREACHABLE = OSError(errno.ENETUNREACH, "unreachable")


@virtual_time
async def test_the_first_address_wins_if_it_is_quick(patched: pytest.MonkeyPatch) -> None:
    network = Addresses(patched, (v6(1), 0.1, None), (v4(1), 0.1, None))
    with await race(asyncio.get_running_loop(), [v6(1), v4(1)]) as sock:
        assert sock.family is socket.AF_INET6
    assert network.tried == [(v6(1), 0)]


@virtual_time
async def test_a_slow_address_gets_company_and_loses_to_it(patched: pytest.MonkeyPatch) -> None:
    network = Addresses(patched, (v6(1), 60, None), (v4(1), 0.1, None), (v6(2), 0, None))
    with await race(asyncio.get_running_loop(), [v6(1), v4(1), v6(2)]) as sock:
        assert sock.family is socket.AF_INET
        assert network.open == 1
    assert network.tried == [(v6(1), 0), (v4(1), 0.25)]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_a_slow_address_may_still_win(patched: pytest.MonkeyPatch) -> None:
    network = Addresses(patched, (v6(1), 0.6, None), (v4(1), 60, None), (v6(2), 60, None))
    with await race(asyncio.get_running_loop(), [v6(1), v4(1), v6(2)]):
        assert asyncio.get_running_loop().time() == pytest.approx(1000.6)
        assert network.open == 1
    assert [round(moment, 2) for _, moment in network.tried] == [0, 0.25, 0.5]


@virtual_time
async def test_a_failure_brings_the_next_address_at_once(patched: pytest.MonkeyPatch) -> None:
    network = Addresses(patched, (v6(1), 0.01, UNREACHABLE), (v4(1), 0.1, None))
    with await race(asyncio.get_running_loop(), [v6(1), v4(1)]) as sock:
        assert sock.family is socket.AF_INET
    assert network.tried == [(v6(1), 0), (v4(1), pytest.approx(0.01))]


@virtual_time
async def test_a_failure_of_a_late_address_does_not_end_the_race(patched: pytest.MonkeyPatch) -> None:
    network = Addresses(patched, (v6(1), 1.0, None), (v4(1), 0.1, REFUSED))
    with await race(asyncio.get_running_loop(), [v6(1), v4(1)]) as sock:
        assert sock.family is socket.AF_INET6
    assert network.open == 0


@virtual_time
async def test_where_all_fail_the_first_address_s_error_is_told(patched: pytest.MonkeyPatch) -> None:
    network = Addresses(patched, (v6(1), 1.0, UNREACHABLE), (v4(1), 0.1, REFUSED))
    with pytest.raises(OSError, match="unreachable"):
        await race(asyncio.get_running_loop(), [v6(1), v4(1)])
    assert network.open == 0


@virtual_time
async def test_two_that_connect_at_once_leave_one_socket(patched: pytest.MonkeyPatch) -> None:
    network = Addresses(patched, (v6(1), 0.35, None), (v4(1), 0.1, None))
    with await race(asyncio.get_running_loop(), [v6(1), v4(1)]):
        assert network.open == 1


@virtual_time
async def test_a_race_cancelled_at_any_moment_leaves_no_socket_and_no_task(patched: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    for tenths in range(9):
        network = Addresses(patched, (v6(1), 60, None), (v4(1), 0.3, REFUSED), (v4(2), 60, None))
        task = asyncio.create_task(race(loop, [v6(1), v4(1), v4(2)]))
        await asyncio.sleep(tenths / 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert network.open == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("turns", range(8))
@virtual_time
async def test_a_race_cancelled_in_any_turn_after_its_end_leaves_no_socket_either(
    turns: int, patched: pytest.MonkeyPatch
) -> None:
    network = Addresses(patched, (v6(1), 60, None), (v4(1), 0.1, None), (v4(2), 60, None))
    task = asyncio.create_task(race(asyncio.get_running_loop(), [v6(1), v4(1), v4(2)]))
    await asyncio.sleep(0.35)
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.cancel():
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        task.result().close()
    assert network.open == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue is full: connecting to it hangs."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]
        for client in clients:
            client.close()


def sockets_open() -> int:
    gc.collect()
    folder = Path("/proc/self/fd")
    links = []
    for entry in os.listdir(folder):
        try:
            links.append(os.readlink(folder / entry))
        except FileNotFoundError:
            continue
    return sum(link.startswith("socket:") for link in links)


class Silent:
    """Says nothing, and takes note of its transport."""

    def __init__(self) -> None:
        self.scratch = new_scratch()
        self.transport: Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        pass

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.scratch

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.scratch[:nbytes]))

    def eof_received(self) -> None:
        pass

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass


@pytest.mark.both_loops
async def test_connecting_by_name_and_by_address(unused_tcp_port: int) -> None:
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for host in ("localhost", "127.0.0.1"):
        silent = Silent()
        await Dialer()(Origin("http", host, port), silent)
        assert silent.transport is not None
        sock = silent.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        silent.transport.close()
        await silent.lost.wait()
    server.close()
    await server.wait_closed()


@pytest.mark.both_loops
async def test_connecting_by_an_ipv6_address() -> None:
    try:
        server = await asyncio.start_server(lambda r, w: w.close(), "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    silent = Silent()
    await Dialer()(Origin("http", "::1", server.sockets[0].getsockname()[1]), silent)
    assert silent.transport is not None
    silent.transport.close()
    await silent.lost.wait()
    server.close()
    await server.wait_closed()


@pytest.mark.both_loops
async def test_connecting_to_a_socket_in_the_file_system(tmp_path: Path) -> None:
    path = str(tmp_path / "server.sock")
    server = await asyncio.start_unix_server(lambda r, w: w.close(), path)
    silent = Silent()
    await Dialer()(Origin("unix", path, 0), silent)
    assert silent.transport is not None
    silent.transport.close()
    await silent.lost.wait()
    server.close()
    await server.wait_closed()
    before = sockets_open()
    for missing in (path, str(tmp_path / "never.sock")):
        with pytest.raises(UpstreamFailure) as caught:
            await Dialer()(Origin("unix", missing, 0), Silent())
        assert str(caught.value) in ("connection refused", "no such file or directory")
    assert sockets_open() == before


@pytest.mark.both_loops
@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("127.0.0.1", "connection refused"),
        ("localhost", "connection refused"),
        ("nowhere.invalid", "name not resolved"),
        ("a..b", "name not resolved"),
        ("x" * 64 + ".invalid", "name not resolved"),
        ("", "name not resolved"),
    ],
)
async def test_a_failure_to_connect_is_told_without_an_address(host: str, message: str, unused_tcp_port: int) -> None:
    before = sockets_open()
    with pytest.raises(UpstreamFailure) as caught:
        await Dialer()(Origin("http", host, unused_tcp_port), Silent())
    assert (caught.value.kind, str(caught.value)) == (FailureKind.CONNECT, message)
    assert isinstance(caught.value.__cause__, (OSError, UnicodeError))
    assert sockets_open() == before


@pytest.mark.both_loops
async def test_cancelled_while_connecting_the_socket_is_closed(full_port: int) -> None:
    before = sockets_open()
    task = asyncio.ensure_future(Dialer()(Origin("http", "127.0.0.1", full_port), Silent()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert sockets_open() == before + 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sockets_open() == before


@pytest.mark.both_loops
async def test_cancelled_in_any_turn_of_connecting_nothing_is_waited_for_at_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:  # that never looks up: the kernel connects
        asked = post(server.getsockname()[1], "/")
        for turns in [*range(12)] * 20:
            upstream = HttpUpstream()
            task = asyncio.ensure_future(upstream.send(asked, timing()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            async with asyncio.timeout(10):
                await upstream.close()


@pytest.mark.both_loops
async def test_a_socket_closed_by_the_loop_is_not_closed_again() -> None:
    """Its number may be another's by then."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        sock = await race(loop, [(socket.AF_INET, socket.IPPROTO_TCP, ("127.0.0.1", port))])
        task = asyncio.ensure_future(hand_over(loop, sock, Origin("http", "127.0.0.1", port), Silent(), None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sock.fileno() == -1
        peer, _ = server.accept()
        with peer:
            peer.settimeout(10)
            await asyncio.sleep(0)
            assert peer.recv(1) == b""


@pytest.mark.both_loops
async def test_cancelled_while_shaking_hands_the_socket_is_closed() -> None:
    accepted = asyncio.Event()
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        try:
            while await reader.read(1000):
                pass
        except ConnectionError:
            pass
        gone.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    origin = Origin("https", "127.0.0.1", server.sockets[0].getsockname()[1])
    task = asyncio.ensure_future(Dialer()(origin, Silent()))
    await accepted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(gone.wait(), 10)
    server.close()
    await server.wait_closed()


@pytest.mark.both_loops
@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"])
async def test_a_server_that_does_not_speak_tls_is_a_failure_to_connect(greeting: bytes) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(greeting)
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    with pytest.raises(UpstreamFailure) as caught:
        await Dialer()(Origin("https", "127.0.0.1", server.sockets[0].getsockname()[1]), Silent())
    assert caught.value.kind is FailureKind.CONNECT
    assert "127.0.0.1" not in str(caught.value)
    assert str(caught.value).startswith(("TLS handshake failed: ", "connection reset"))
    server.close()
    await server.wait_closed()


def test_every_description_is_free_of_addresses() -> None:
    unverified = ssl.SSLCertVerificationError(1, "[SSL] certificate verify failed (_ssl.c:1)")
    unverified.verify_message = "IP address mismatch, certificate is not valid for '10.1.2.3'"
    for error, message in [
        (unverified, "certificate not accepted: ip address mismatch"),
        (ssl.SSLError(1, "10.1.2.3"), "TLS handshake failed: no reason given"),
        (OSError(errno.ECONNREFUSED, "Connect call failed ('10.1.2.3', 80)"), "connection refused"),
        (OSError(errno.EHOSTUNREACH, "10.1.2.3"), "host unreachable"),
        (OSError(errno.EACCES, "10.1.2.3"), "permission denied"),
        (OSError("10.1.2.3"), "cannot connect"),
        (ConnectionResetError(), "connection reset"),
        (socket.gaierror(socket.EAI_NONAME, "10.1.2.3"), "name not resolved"),
        (TimeoutError(errno.ETIMEDOUT, "10.1.2.3"), "connect timed out"),
        (ValueError("10.1.2.3"), "cannot connect"),
    ]:
        assert describe(error) == message


def test_tls_verifies_always() -> None:
    context = tls_context(TLS(server_name="other"))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        (TLS(ca_file="/nowhere.pem"), "tls.ca_file cannot be used: no such file or directory"),
        (
            TLS(client_cert="/nowhere.pem"),
            "tls.client_cert or tls.client_key cannot be used: no such file or directory",
        ),
        (TLS(ca_file=__file__), "tls.ca_file cannot be used: "),
    ],
)
def test_a_file_that_cannot_be_used_is_a_failure_to_connect(tls: TLS, message: str) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        tls_context(tls)
    assert caught.value.kind is FailureKind.CONNECT
    assert str(caught.value).startswith(message)
