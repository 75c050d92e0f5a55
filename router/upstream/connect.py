"""Opens connections: resolves the name, races the addresses, shakes hands. Maps the network's errors, once."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, zip_longest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import TLS
from router.dialects.base import Origin

Dial = Callable[[Origin, asyncio.Protocol], Awaitable[None]]
"""Connects a protocol to an origin, or raises UpstreamFailure(CONNECT). Knows no time limit: it is cancelled."""

Address = tuple[socket.AddressFamily, int, tuple[object, ...]]
"""Family, protocol and socket address."""

STAGGER = 0.25
"""Seconds one address gets before the next is tried beside it (RFC 8305: "Connection Attempt Delay")."""

_MESSAGES = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.ECONNABORTED: "connection reset",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "connect timed out",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
}


class Dialer:
    """`Dial` over the system's own network."""

    def __init__(self) -> None:
        self._contexts: dict[TLS, ssl.SSLContext] = {}

    async def __call__(self, origin: Origin, protocol: asyncio.Protocol) -> None:
        loop = asyncio.get_running_loop()
        try:
            context = self._context(origin.tls) if origin.scheme == "https" else None
            addresses = await resolve(loop, origin.host, origin.port)
            sock = await race(loop, addresses)
            try:
                if context is None:
                    await loop.create_connection(lambda: protocol, sock=sock)
                else:
                    name = origin.tls.server_name or origin.host
                    await loop.create_connection(
                        lambda: protocol, sock=sock, ssl=context, server_hostname=name, ssl_shutdown_timeout=1.0
                    )
            except BaseException:
                sock.close()
                raise
        except (OSError, UnicodeError) as error:
            raise UpstreamFailure(FailureKind.CONNECT, describe(error)) from error

    def _context(self, tls: TLS) -> ssl.SSLContext:
        """Made once for each set of settings: reading the system's certificates takes some 20 ms."""
        context = self._contexts.get(tls)
        if context is None:
            context = self._contexts[tls] = tls_context(tls)
        return context


def tls_context(tls: TLS) -> ssl.SSLContext:
    """Certificates and names are always verified. Raises UpstreamFailure(CONNECT) where a file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        raise UpstreamFailure(FailureKind.CONNECT, f"tls.ca_file cannot be used: {_reason(error)}") from error
    if tls.client_cert is not None:
        try:
            # An empty password: an encrypted key is an error, not a question on the terminal.
            context.load_cert_chain(tls.client_cert, tls.client_key, password="")
        except OSError as error:
            message = f"tls.client_cert or tls.client_key cannot be used: {_reason(error)}"
            raise UpstreamFailure(FailureKind.CONNECT, message) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


async def resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[Address]:
    """Addresses of `host` in the order to try them: as the resolver sorted them, with the families taking turns."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return [(family, socket.IPPROTO_TCP, (host, port))]
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    addresses: list[Address] = [(family, proto, address) for family, _, proto, _, address in found]
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for address in chain(*zip_longest(first, others)) if address is not None]


async def race(
    loop: asyncio.AbstractEventLoop, addresses: Sequence[Address], stagger: float = STAGGER
) -> socket.socket:
    """The first socket to connect ("happy eyeballs", RFC 8305): an address is tried when the ones before it have
    failed, or have had `stagger` seconds each. Raises the first address's error where all fail."""
    if len(addresses) == 1:
        return await connect(loop, addresses[0])
    attempts: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    try:
        for position, address in enumerate(addresses):
            attempts.append(loop.create_task(connect(loop, address)))
            timeout = stagger if position + 1 < len(addresses) else None
            winner = await _first_success(attempts, timeout)
            if winner is not None:
                return winner.result()
        return attempts[0].result()
    finally:
        losers = [attempt for attempt in attempts if attempt is not winner]
        for attempt in losers:
            attempt.cancel()
        for outcome in await asyncio.gather(*losers, return_exceptions=True):
            if isinstance(outcome, socket.socket):
                outcome.close()


async def _first_success(
    attempts: Sequence[asyncio.Task[socket.socket]], timeout: float | None
) -> asyncio.Task[socket.socket] | None:
    """An attempt that connected, or None after `timeout` seconds or once all have failed."""
    loop = asyncio.get_running_loop()
    end = None if timeout is None else loop.time() + timeout
    while True:
        for attempt in attempts:
            if attempt.done() and attempt.exception() is None:
                return attempt
        pending = [attempt for attempt in attempts if not attempt.done()]
        left = None if end is None else end - loop.time()
        if not pending or (left is not None and left <= 0):
            return None
        await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)


async def connect(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    """A connected, non-blocking socket; none is left behind on an error or cancellation."""
    family, proto, where = address
    sock = socket.socket(family, socket.SOCK_STREAM, proto)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A model may think for minutes without a byte: keep middle boxes from forgetting us, and notice dead peers.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def said_goodbye(transport: asyncio.Transport) -> bool:
    """Whether a connection that has ended was ended by the server, and not cut by somebody on the way.

    TLS says goodbye before TCP does (`close_notify`); asyncio's own transport passes on the end of either as the same
    `eof_received`. Without TLS there is no telling: True.
    """
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return not tls.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False


def describe(error: Exception) -> str:
    """What went wrong, for the operator: no address, no name, no path."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # OpenSSL puts the name it looked for behind a comma.
        return f"certificate not accepted: {error.verify_message.partition(',')[0].lower()}"
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake failed: {_reason(error)}"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "name not resolved"
    if isinstance(error, OSError):
        return _reason(error)
    return "cannot connect"


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (getattr(error, "reason", None) or "no reason given").lower().replace("_", " ")
    if error.errno is None:
        return "connection reset" if isinstance(error, ConnectionError) else "cannot connect"
    return _MESSAGES.get(error.errno) or os.strerror(error.errno).lower()
