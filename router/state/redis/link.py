"""One connection on which a server is asked one thing at a time: what a trade needs of Redis' protocol, and no more.

The client library finds the server, publishes and subscribes. From a command to the wire and back it takes three times
what all the rest of a trade takes, ten times a second.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, cast

from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import AuthenticationError, ResponseError

from router.core.redis_address import RedisAddress
from router.state.redis.client import COMMAND_TIMEOUT, CONNECT_TIMEOUT, Client

_END = b"\r\n"


class Link(asyncio.Protocol):
    """`lost`: to be used no more."""

    def __init__(self, patience: float) -> None:
        """`patience`: seconds that an answer may take."""
        self.lost = False
        self._patience = patience
        self._transport: asyncio.Transport | None = None
        self._asked: asyncio.Future[bytes] | None = None
        self._received = b""

    async def ask(self, *parts: bytes) -> bytes:
        """The answer to a command, one at a time. Raises ResponseError where that is an error, and TimeoutError or
        OSError where there is none: then, and after being cancelled, the link is lost."""
        if self._transport is None or self.lost:
            raise ConnectionResetError("the connection is lost")
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[bytes] = loop.create_future()
        self._asked = asked
        late = loop.call_later(self._patience, self._late, asked)
        self._transport.write(command(*parts))
        try:
            return await asked
        except ResponseError:
            raise
        except BaseException:
            self.close()
            raise
        finally:
            late.cancel()
            self._asked = None

    def close(self) -> None:
        """At once, whatever is still asked: that raises ConnectionResetError. May be called again."""
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.lost:  # whoever has dialled has gone away while the connection opened
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        data = self._received + data if self._received else data
        try:
            answer = answer_in(data)
        except ValueError as error:
            self._fail(ConnectionResetError(f"an answer can not be read: {error}"))
            return
        if answer is None:
            self._received = data
            return
        self._received = b""
        if self._asked is None or self._asked.done():
            self.close()
        elif isinstance(answer, ResponseError):
            self._asked.set_exception(answer)
        else:
            self._asked.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(ConnectionResetError("the server has closed the connection"))

    def _late(self, asked: asyncio.Future[bytes]) -> None:
        if not asked.done():
            asked.set_exception(TimeoutError(f"no answer within {self._patience:g} s"))

    def _fail(self, error: OSError) -> None:
        self.close()
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(error)


Dial = Callable[[Client, str], Awaitable[Link]]
"""Connects to the server that keeps a key, which the client knows of. Raises what the library raises, and OSError."""


def dialer(
    address: RedisAddress, connect_timeout: float = CONNECT_TIMEOUT, command_timeout: float = COMMAND_TIMEOUT
) -> Dial:
    """`connect_timeout`: seconds to connect and sign in, once the client has found the server; `command_timeout`:
    seconds that each answer may take."""
    tls = _TLS(address)

    async def dial(client: Client, key: str) -> Link:
        context = await tls.context() if address.tls else None
        host, port = await _place(address, client, key)
        link = Link(command_timeout)
        try:
            async with asyncio.timeout(connect_timeout):
                await asyncio.get_running_loop().create_connection(lambda: link, host, port, ssl=context)
                await _sign_in(link, address)
        except BaseException:
            link.close()
            raise
        return link

    return dial


async def _place(address: RedisAddress, client: Client, key: str) -> tuple[str, int]:
    if isinstance(client, RedisCluster):
        _ = await client.initialize()
        node = client.get_node_from_key(key)
        if node is None:
            raise ConnectionError("no node of the cluster has the keys")
        return str(node.host), int(node.port)
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        host, port = await cast(Any, pool).get_master_address()
        return str(host), int(port)
    return address.hosts[0]


async def _sign_in(link: Link, address: RedisAddress) -> None:
    """As the library does, which takes an empty password for none where there is no user either."""
    if address.user or address.password:
        login = (address.user or "default").encode()
        try:
            await link.ask(b"AUTH", login, (address.password or "").encode())
        except ResponseError as error:
            if str(error).startswith("ERR "):  # elsewhere it is not about who asks; all others have codes of their own
                raise AuthenticationError(str(error)) from error
            raise
    if address.db:
        await link.ask(b"SELECT", b"%d" % address.db)


class _TLS:
    """The context is made once, beside the loop: to read the system's certificates takes some 30 ms."""

    def __init__(self, address: RedisAddress) -> None:
        self._options = address.options
        self._context: ssl.SSLContext | None = None

    async def context(self) -> ssl.SSLContext:
        """Raises OSError where a file can not be read or used; the next call tries it again."""
        if self._context is not None:
            return self._context
        return await asyncio.to_thread(self._make)

    def _make(self) -> ssl.SSLContext:
        options = self._options
        context = ssl.create_default_context()
        if "ca_file" in options:
            context.load_verify_locations(options["ca_file"])
        if "cert_file" in options:
            context.load_cert_chain(options["cert_file"], options.get("key_file"))
        self._context = context
        return context


def command(*parts: bytes) -> bytes:
    """As Redis takes it: an array of strings, each after its length."""
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


def answer_in(data: bytes) -> bytes | ResponseError | None:
    """The one answer that `data` is, a missing value as the empty string; None where more of it is to come.

    Raises ValueError where it is none, or one of a kind that no command here has.
    """
    end = data.find(_END)
    if end < 0:
        return None
    kind, head = data[:1], data[1:end]
    first = last = end + len(_END)
    if kind == b"$" and head != b"-1":
        last = first + int(head)
        if len(data) < last + len(_END):
            return None
        head = data[first:last]
        last += len(_END)
    if len(data) > last or kind not in (b"$", b"+", b":", b"-"):
        raise ValueError("it is none to what was asked")
    if kind == b"-":
        return ResponseError(head.decode("utf-8", "replace"))
    return b"" if head == b"-1" else head
