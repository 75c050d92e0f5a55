"""TLS towards upstreams: always verified, sessions resumed, and files read anew once they have been replaced."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import TLS

Stamps = tuple[tuple[int, int, int] | None, ...]


class Context(ssl.SSLContext):
    """A client's context that resumes the last session with the same server.

    Neither asyncio nor uvloop has a place for a session in `create_connection`, but both make the connection's TLS
    object here. A session counts only after `shook_hands`, so that what was not verified is never resumed.
    """

    _peers: dict[str, ssl.SSLObject]

    @classmethod
    def for_client(cls) -> Context:
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context._peers = {}
        return context

    def shook_hands(self, name: str, transport: asyncio.BaseTransport) -> None:
        """The server was verified. The object is kept, not its session: a ticket comes only after the handshake."""
        tls = transport.get_extra_info("ssl_object")
        if isinstance(tls, ssl.SSLObject):
            self._peers[name] = tls

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        peer = self._peers.get(server_hostname) if isinstance(server_hostname, str) else None
        if peer is not None:
            session = peer.session
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


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
    return context


def ssl_reason(error: OSError) -> str:
    """What OpenSSL or the file system has to say, without names and paths."""
    if isinstance(error, ssl.SSLError):
        return (getattr(error, "reason", None) or "no reason given").lower().replace("_", " ")
    return os.strerror(error.errno).lower() if error.errno else "cannot be read"


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


def _stamp(path: str | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
