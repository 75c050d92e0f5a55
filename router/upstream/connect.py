"""Opens connections: finds the way, directly or through a proxy, and shakes hands. Maps the network's errors, once."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable

import uvloop

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import Origin
from router.upstream.names import Names
from router.upstream.plug import BufferedPlug, Receiver
from router.upstream.proxy import NO_PROXIES, Forward, Proxies, Proxy, tunnel
from router.upstream.secured import Secured
from router.upstream.sockets import connect, race
from router.upstream.tls import Context, Contexts, shake_hands, ssl_reason

Dial = Callable[[Origin, Receiver], Awaitable[Forward | None]]
"""Connects a receiver to an origin, or raises UpstreamFailure(CONNECT). Knows no time limit: it is cancelled. Returns
how requests on this connection are to be written, where it leads to a proxy that passes them on."""

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

    def __init__(self, proxies: Proxies = NO_PROXIES, names: Names | None = None) -> None:
        self._proxies = proxies
        self._names = names or Names()
        self._contexts = Contexts()

    async def __call__(self, origin: Origin, receiver: Receiver) -> Forward | None:
        loop = asyncio.get_running_loop()
        proxy = self._proxies.to(origin)
        try:
            context = self._contexts.get(origin.tls) if origin.scheme == "https" else None
            forward = Forward(origin, proxy) if proxy is not None and context is None else None
            sock = await self._reach(loop, origin) if proxy is None else await self._reach_proxy(loop, proxy)
            if proxy is not None and context is not None:
                try:
                    await tunnel(loop, sock, origin, proxy)
                except BaseException:
                    sock.close()
                    raise
            await hand_over(loop, sock, origin, receiver, context)
        except (OSError, UnicodeError) as error:
            raise UpstreamFailure(FailureKind.CONNECT, describe(error)) from error
        return forward

    async def _reach(self, loop: asyncio.AbstractEventLoop, origin: Origin) -> socket.socket:
        if origin.scheme == "unix":
            return await connect(loop, (socket.AF_UNIX, 0, origin.host))
        return await race(loop, await self._names.resolve(origin.host, origin.port))

    async def _reach_proxy(self, loop: asyncio.AbstractEventLoop, proxy: Proxy) -> socket.socket:
        if proxy.problem:
            raise UpstreamFailure(FailureKind.CONNECT, f"the proxy cannot be used: {proxy.problem}")
        try:
            return await race(loop, await self._names.resolve(proxy.host, proxy.port))
        except (OSError, UnicodeError) as error:
            raise UpstreamFailure(FailureKind.CONNECT, f"the proxy cannot be reached: {describe(error)}") from error


async def hand_over(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, origin: Origin, receiver: Receiver, context: Context | None
) -> None:
    """Plug `receiver` into a connected socket, over TLS where there is a `context`. From here on the socket is the
    loop's; where this fails it is closed."""
    plugged = receiver
    if context is not None:
        try:
            plugged = Secured(
                loop, receiver, await shake_hands(loop, sock, context, origin.tls.server_name or origin.host)
            )
        except BaseException:
            sock.close()
            raise
    try:
        if origin.scheme == "unix":
            await loop.create_unix_connection(lambda: BufferedPlug(plugged), sock=sock)
        else:
            await loop.create_connection(lambda: BufferedPlug(plugged), sock=sock)
    except BaseException:
        if isinstance(loop, uvloop.Loop):
            sock.detach()  # uvloop closes the number, and does not tell `sock`: it may be another's when that does
        raise


def describe(error: Exception) -> str:
    """What went wrong, for the operator: no address, no name, no path."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # OpenSSL puts the name it looked for behind a comma.
        return f"certificate not accepted: {error.verify_message.partition(',')[0].lower()}"
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake failed: {ssl_reason(error)}"
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return "name not resolved: no name server answers"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "name not resolved"
    if not isinstance(error, OSError):
        return "cannot connect"
    if error.errno is None:
        return "connection reset" if isinstance(error, ConnectionError) else "cannot connect"
    return _MESSAGES.get(error.errno) or os.strerror(error.errno).lower()
