"""TLS towards upstreams: always verified, sessions resumed, and files read anew once they have been replaced."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import sys
from contextlib import suppress
from typing import NamedTuple

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import TLS
from router.upstream.reading import ONE_READ

Stamps = tuple[tuple[int, int, int] | None, ...]


NAMES = 256
"""Servers whose sessions are kept, the latest new ones: clients may be allowed to name hosts."""


class Session(NamedTuple):
    """One connection's TLS, between what has come from the socket and what is to go there."""

    tls: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO


class Context(ssl.SSLContext):
    """A client's context that resumes the last session with the same server.

    A session counts only once its handshake is over, so that what was not verified is never resumed.
    """

    _peers: dict[str, ssl.SSLObject]
    _sessions: dict[str, ssl.SSLSession]

    @classmethod
    def for_client(cls) -> Context:
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context._peers, context._sessions = {}, {}
        return context

    def begin(self, name: str) -> Session:
        """A session with the server of that name, before the handshake."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        peer, old = self._peers.get(name), self._sessions.get(name)
        if peer is not None:
            old = peer.session
            if old is not None and (old.has_ticket or peer.version() != "TLSv1.3"):
                # Not looked at again: up to Python 3.12 each look costs 6 KB for good (CPython's gh-116810).
                self._sessions[name] = old
                del self._peers[name]
        return Session(self.wrap_bio(incoming, outgoing, server_hostname=name, session=old), incoming, outgoing)

    def verified(self, name: str, tls: ssl.SSLObject) -> None:
        """Keep its session for others, where it is a new one: the object at first, since a ticket comes later."""
        if tls.session_reused:
            return
        self._sessions.pop(name, None)
        self._peers.pop(name, None)
        self._peers[name] = tls
        for known in (self._peers, self._sessions):
            if len(known) > NAMES:
                del known[next(iter(known))]


class Contexts:
    """Contexts by settings. One is made anew, sessions forgotten, for the first connection after its files changed;
    what cannot be read then leaves the one before in use."""

    def __init__(self) -> None:
        self._known: dict[TLS, tuple[Stamps, Context]] = {}

    def get(self, tls: TLS) -> Context:
        """Kept, since reading the system's certificates takes some 20 ms. Raises UpstreamFailure(CONNECT)."""
        stamps = tuple(map(_stamp, (tls.ca_file, tls.client_cert, tls.client_key)))
        known = self._known.get(tls)
        if known is not None and known[0] == stamps:
            return known[1]
        try:
            context = tls_context(tls)
        except UpstreamFailure:
            if known is None:
                raise
            return known[1]  # halfway through being replaced
        self._known[tls] = (stamps, context)
        return context


def tls_context(tls: TLS) -> Context:
    """Certificates and names are always verified. Raises UpstreamFailure(CONNECT) where a file cannot be used."""
    context = Context.for_client()
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    try:
        if tls.ca_file is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            context.load_verify_locations(tls.ca_file)
    except OSError as error:
        raise UpstreamFailure(FailureKind.CONNECT, f"tls.ca_file cannot be used: {ssl_reason(error)}") from error
    if tls.client_cert is not None:
        try:
            # An empty password: an encrypted key is an error, not a question on the terminal.
            context.load_cert_chain(tls.client_cert, tls.client_key, password="")
        except OSError as error:
            message = f"tls.client_cert or tls.client_key cannot be used: {ssl_reason(error)}"
            raise UpstreamFailure(FailureKind.CONNECT, message) from error
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION  # `Secured` never has to read before it can write
    return context


def ssl_reason(error: OSError) -> str:
    """What OpenSSL or the file system has to say, without names and paths."""
    if isinstance(error, ssl.SSLError):
        return (getattr(error, "reason", None) or "no reason given").lower().replace("_", " ")
    return os.strerror(error.errno).lower() if error.errno else "cannot be read"


async def shake_hands(loop: asyncio.AbstractEventLoop, sock: socket.socket, context: Context, name: str) -> Session:
    """Over a connected socket, on which nothing else has been said. Raises OSError, `ssl.SSLError` among them."""
    session = context.begin(name)
    tls, incoming, outgoing = session
    while True:
        try:
            tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        except ssl.SSLError:
            with suppress(OSError):
                sock.send(outgoing.read())  # why; the server may log it
            raise
        if outgoing.pending:
            await loop.sock_sendall(sock, outgoing.read())
        if done:
            context.verified(name, tls)
            return session
        data = await loop.sock_recv(sock, ONE_READ)
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        incoming.write(data)


def _stamp(path: str | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
