"""TLS between a socket and a connection.

The event loops' own would read and decrypt up to 256 KB at once, whoever waits for it, and keep a buffer of that size
for each connection: docs/decisions/0016.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

from router.upstream.plug import Plugged, Receiver, Transport
from router.upstream.reading import Reading
from router.upstream.tls import Session

ONE_RECORD: Final = 16384
"""Bytes of content that a record of TLS has at most."""


class Secured(Reading):
    """What is plugged into the loop, and the transport of who is `plugged` into it.

    While reading is paused nothing is decrypted: what has come waits as ciphertext, a read at most. The end of the
    connection is only told as such where the server has said goodbye (`close_notify`); cut off by whomever, the
    connection is lost with an `ssl.SSLError`.
    """

    __slots__ = ("_cause", "_closed", "_eof", "_incoming", "_loop", "_outgoing", "_paused", "_plugged", "_socket",
                 "_tls")  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, plugged: Receiver, session: Session) -> None:
        super().__init__(plugged.scratch)
        self._loop = loop
        self._plugged: Plugged | None = plugged
        self._tls, self._incoming, self._outgoing = session
        self._socket: Transport | None = None
        self._paused = False
        self._eof = False  # of the socket
        self._closed = False  # by whichever side: nothing more is told but that the connection is lost
        self._cause: Exception | None = None

    @property
    def waiting(self) -> int:
        """Bytes that have been read and not been handed on."""
        return self._incoming.pending + self._tls.pending()

    # For the loop.

    def connection_made(self, transport: Transport) -> None:
        self._socket = transport
        if self._plugged is not None:
            self._plugged.connection_made(self)
        if self._incoming.pending:
            self._loop.call_soon(self._go_on)  # it came with the end of the handshake

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        self._decrypt()

    def eof_received(self) -> bool:
        """True: the socket is closed here, once all has been told."""
        self._eof = True
        self._incoming.write_eof()
        self._decrypt()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        plugged, cause = self._plugged, self._cause or exc
        self._plugged = self._socket = self._cause = None
        self._closed = True
        if plugged is not None:
            plugged.connection_lost(cause)

    def pause_writing(self) -> None:
        if self._plugged is not None:
            self._plugged.pause_writing()

    def resume_writing(self) -> None:
        if self._plugged is not None:
            self._plugged.resume_writing()

    # For who is plugged in.

    def write(self, data: bytes) -> None:
        if self._closed:
            return
        try:
            for start in range(0, len(data), ONE_RECORD):  # what a memory buffer has once held, it keeps room for
                self._tls.write(data[start : start + ONE_RECORD])
                self._send()
        except ssl.SSLError as error:
            self._fail(error)

    def close(self) -> None:
        """Say goodbye, and wait for none."""
        if self._closed:
            return
        self._closed = True
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # that the server has not said it yet
        self._send()
        if self._socket is not None:
            self._socket.close()

    def abort(self) -> None:
        self._closed = True
        if self._socket is not None:
            self._socket.abort()

    def pause_reading(self) -> None:
        self._paused = True
        if self._socket is not None:
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if self._socket is not None and not self._eof:
            self._socket.resume_reading()
        if self.waiting or self._eof:
            self._loop.call_soon(self._go_on)

    def get_write_buffer_size(self) -> int:
        return 0 if self._socket is None else self._socket.get_write_buffer_size()

    def get_extra_info(self, name: str) -> Any:
        if name == "ssl_object":
            return self._tls
        return None if self._socket is None else self._socket.get_extra_info(name)

    def _go_on(self) -> None:
        """Where no read leads to it, and the loop would not close what fails."""
        try:
            self._decrypt()
        except Exception as error:
            self._fail(error)
            raise

    def _decrypt(self) -> None:
        """Hand on what can be read, record by record, while it is wanted."""
        tls, incoming = self._tls, self._incoming
        try:
            while not self._paused and not self._closed:
                here = tls.pending() or incoming.pending  # the rest of a record before the next one
                if not here and not self._eof:
                    break
                data = tls.read(min(here, ONE_RECORD) or 1)
                if not data:
                    self._end()
                elif self._plugged is not None:
                    self._plugged.data_received(data)
        except ssl.SSLWantReadError:
            pass  # half a record, or one that is not for us
        except ssl.SSLZeroReturnError:
            self._end()
        except ssl.SSLError as error:
            self._fail(error)
        if not self._closed:
            self._send()

    def _send(self) -> None:
        """What OpenSSL has to say."""
        if self._socket is not None and self._outgoing.pending:
            self._socket.write(self._outgoing.read())

    def _end(self) -> None:
        """The server has said goodbye."""
        if self._plugged is not None:
            self._plugged.eof_received()
        self.close()

    def _fail(self, error: Exception) -> None:
        self._cause = error.with_traceback(None)  # which would hold this object
        self.abort()
