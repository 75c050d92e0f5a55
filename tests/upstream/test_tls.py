"""TLS beyond the handshake: sessions, files that are replaced, and verification that nothing turns off."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest

from router.config.schema_deployment import DeploymentSettings
from router.core.errors import UpstreamFailure
from router.core.types import TLS
from router.upstream.client import HttpUpstream
from router.upstream.reading import ONE_READ
from router.upstream.secured import Secured
from router.upstream.tls import Contexts, tls_context
from tests.certificates import Certificates
from tests.upstream.asking import post
from tests.upstream.conftest import Nginx
from tests.upstream.scripted import Listener, stream_of, timing, whole

ROUTER = Path(__file__).parent.parent.parent / "router"


def resumed(upstream: HttpUpstream) -> bool:
    (connection,) = upstream.pool
    assert connection._transport is not None
    tls = connection._transport.get_extra_info("ssl_object")
    assert isinstance(tls, ssl.SSLObject)
    return bool(tls.session_reused)


async def ask_on_a_new_connection(upstream: HttpUpstream, port: int, tls: TLS, host: str = "127.0.0.1") -> bool:
    """Ask once, and close the connection. Returns whether the TLS session was an old one."""
    response = await upstream.send(post(port, "/small", host=host, tls=tls), timing(20))
    assert await whole(response) == b"small"
    was = resumed(upstream)
    for connection in upstream.pool:
        connection.expired()
    return was


@pytest.mark.both_loops
async def test_the_second_connection_resumes_the_first_one_s_session(nginx: Nginx, certificates: Certificates) -> None:
    upstream = HttpUpstream()
    seen = [await ask_on_a_new_connection(upstream, nginx.ports["tls"], certificates.trusting) for _ in range(4)]
    assert seen == [False, True, True, True]
    assert not await ask_on_a_new_connection(upstream, nginx.ports["tls"], certificates.trusting, "localhost"), (
        "a session belongs to one name"
    )
    other = TLS(certificates.path("ca.pem"), server_name="127.0.0.1")
    assert not await ask_on_a_new_connection(upstream, nginx.ports["tls"], other), "and to one set of settings"
    await upstream.close()


@pytest.mark.both_loops
async def test_what_was_not_verified_is_never_resumed(nginx: Nginx, certificates: Certificates) -> None:
    upstream = HttpUpstream()
    for name, tls in (("tls_selfsigned", certificates.trusting), ("tls", TLS())):
        for _ in range(3):
            with pytest.raises(UpstreamFailure, match="certificate not accepted"):
                await upstream.send(post(nginx.ports[name], "/small", host="localhost", tls=tls), timing(20))
    await upstream.close()


async def test_of_each_full_handshake_the_session_is_looked_at_once(
    nginx: Nginx, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to Python 3.12 each look is never freed."""
    looks = 0
    session: Any = vars(ssl.SSLObject)["session"]

    def look(tls: ssl.SSLObject) -> Any:
        nonlocal looks
        looks += 1
        return session.fget(tls)

    monkeypatch.setattr(ssl.SSLObject, "session", property(look, session.fset))
    upstream = HttpUpstream()
    seen = [await ask_on_a_new_connection(upstream, nginx.ports["tls"], certificates.trusting) for _ in range(9)]
    assert (seen, looks) == ([False] + [True] * 8, 1)
    await upstream.close()


def test_sessions_are_kept_of_so_many_servers(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.upstream.tls.NAMES", 3)
    context = tls_context(certificates.trusting)
    for number in range(9):
        context.verified(f"host-{number}", context.begin(f"host-{number}").tls)
    assert list(context._peers) == ["host-6", "host-7", "host-8"]


def replace(path: Path, source: str, seconds: int) -> None:
    """As a secret is rotated: a new file takes the name of the old one."""
    new = path.with_suffix(".new")
    shutil.copy(source, new)
    os.utime(new, (seconds, seconds))
    new.replace(path)


@pytest.mark.both_loops
async def test_a_new_ca_file_is_used_for_the_next_connection(
    nginx: Nginx, certificates: Certificates, tmp_path: Path
) -> None:
    upstream = HttpUpstream()
    file = tmp_path / "ca.pem"
    tls = TLS(str(file))
    replace(file, certificates.path("selfsigned.pem"), 1)
    with pytest.raises(UpstreamFailure, match="certificate not accepted"):
        await ask_on_a_new_connection(upstream, nginx.ports["tls"], tls)
    replace(file, certificates.path("ca.pem"), 2)
    assert not await ask_on_a_new_connection(upstream, nginx.ports["tls"], tls)
    assert await ask_on_a_new_connection(upstream, nginx.ports["tls"], tls)
    replace(file, certificates.path("selfsigned.pem"), 3)
    with pytest.raises(UpstreamFailure, match="certificate not accepted"):
        await ask_on_a_new_connection(upstream, nginx.ports["tls"], tls)
    await upstream.close()


def test_files_are_read_again_only_when_they_have_changed(certificates: Certificates, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("ca.pem", "client.pem", "client.key")]
    for path in paths:
        replace(path, certificates.path(path.name), 1)
    tls = TLS(*map(str, paths))
    contexts = Contexts()
    context = contexts.get(tls)
    assert contexts.get(tls) is context
    for path in paths:
        replace(path, certificates.path(path.name), 2)
        newer = contexts.get(tls)
        assert newer is not context
        context = newer
    assert contexts.get(TLS(str(paths[0]))) is not context


@pytest.mark.parametrize("change", ["missing", "nonsense"])
def test_a_file_halfway_through_its_replacement_leaves_the_old_one_in_use(
    certificates: Certificates, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "ca.pem"
    replace(path, certificates.path("ca.pem"), 1)
    contexts = Contexts()
    context = contexts.get(TLS(str(path)))
    if change == "missing":
        path.unlink()
    else:
        path.write_text("-----BEGIN CERTIFICATE-----\n")
    assert contexts.get(TLS(str(path))) is context
    replace(path, certificates.path("ca.pem"), 2)
    assert contexts.get(TLS(str(path))) is not context
    with pytest.raises(UpstreamFailure, match=r"tls\.ca_file"):
        contexts.get(TLS(str(tmp_path / "never.pem")))


@pytest.mark.parametrize("tls", [TLS(), TLS(server_name="other"), TLS(ca_file="ca.pem")])
def test_every_context_verifies(certificates: Certificates, tls: TLS) -> None:
    if tls.ca_file:
        tls = TLS(certificates.path(tls.ca_file))
    context = tls_context(tls)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_there_is_no_setting_that_turns_verification_off() -> None:
    assert set(TLS._fields) == {"ca_file", "client_cert", "client_key", "server_name"}
    annotation = DeploymentSettings.model_fields["tls"].annotation
    assert annotation is not None
    assert set(annotation.model_fields) == set(TLS._fields)


def test_no_line_of_the_router_turns_verification_off() -> None:
    words = re.compile(r"CERT_NONE|CERT_OPTIONAL|check_hostname\s*=\s*False|unverified_context|verify\s*=\s*False")
    assert [path for path in ROUTER.rglob("*.py") if words.search(path.read_text())] == []


@pytest.mark.both_loops
async def test_little_is_read_ahead_of_a_stream_that_is_held_back(certificates: Certificates) -> None:
    """Ciphertext that has come while nobody reads. The server writes so little at a time that no read brings much."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
    event = b"data: " + b"x" * 10_000 + b"\n\n"
    taken = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        for _ in range(1000):
            writer.write(event)
            await writer.drain()
            await asyncio.sleep(0)
            taken += len(event)
        writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0, ssl=context)
    upstream = HttpUpstream()
    wire = post(server.sockets[0].getsockname()[1], "/", tls=certificates.trusting)
    stream = stream_of(await upstream.send(wire, timing(20)))
    before = -1
    while before != taken:
        before = taken
        await asyncio.sleep(0.1)
    (connection,) = upstream.pool
    secured = connection._transport
    assert isinstance(secured, Secured)
    ahead = secured.waiting
    listener = Listener()
    stream.attach(listener)
    assert await listener.end is None
    assert listener.text == event * 1000
    server.close()
    await upstream.close()
    assert ahead < 2 * ONE_READ
