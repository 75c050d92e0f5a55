"""The way to a host that a client has named: its addresses are looked up once, checked, and connected to as they are.

Nothing is shared with the ordinary way: no pooled connection, no proxy, no remembered name, no file of a deployment.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

import orjson

from router.core.errors import FailureKind, UpstreamFailure
from router.core.grants import Grants
from router.core.types import TLS
from router.dialects.base import Origin, WireRequest
from router.upstream.base import Timing, UpstreamResponse
from router.upstream.client import HttpUpstream
from router.upstream.connect import describe, hand_over
from router.upstream.counters import Counters
from router.upstream.names import literal_address
from router.upstream.plug import Receiver
from router.upstream.proxy import Forward
from router.upstream.reading import new_scratch
from router.upstream.sockets import Address, race
from router.upstream.tls import Contexts

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
Connect = Callable[[asyncio.AbstractEventLoop, Sequence[Address]], Awaitable[socket.socket]]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NEVER_PUBLIC: tuple[_Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in ("168.63.129.16/32", "100.64.0.0/10", "192.88.99.0/24", "fec0::/10", "5f00::/16")
)
"""Besides what `ipaddress` knows: Azure's wire server, carriers' networks (and with them other clouds' metadata),
relays, and what once was site-local."""
_WRAPPING: tuple[tuple[ipaddress.IPv6Network, int], ...] = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),
)
"""IPv6 networks whose addresses hold an IPv4 one, and how many bits stand behind it."""


class GuardedUpstream:
    """An `Upstream` for deployments with a `guard`."""

    def __init__(
        self, resolve: Resolve | None = None, connect: Connect | None = None, counters: Counters | None = None
    ) -> None:
        """`counters` are added to."""
        self._resolve = resolve or look_up
        self._connect = connect or _race
        self._contexts = Contexts()
        self._scratch = new_scratch()
        self._counters = counters or Counters()
        self._open: set[HttpUpstream] = set()

    async def send(self, wire: WireRequest, timing: Timing) -> UpstreamResponse:
        """See `Upstream.send`. Raises UpstreamFailure(REJECTED), a 403, for an address that the key does not allow."""
        grants = wire.deployment.guard
        if grants is None:
            raise UpstreamFailure(FailureKind.CONNECT, "nobody allowed this host")

        async def dial(origin: Origin, receiver: Receiver) -> Forward | None:
            await self._dial(grants, origin, receiver)
            return None

        http = HttpUpstream(
            max_idle=0, max_open=1, dial=dial, scratch=self._scratch, counters=self._counters,
            emptied=self._open.discard,
        )  # fmt: skip
        self._open.add(http)
        return await http.send(wire, timing)

    async def close(self) -> None:
        for http in tuple(self._open):
            await http.close()

    async def _dial(self, grants: Grants, origin: Origin, receiver: Receiver) -> None:
        loop = asyncio.get_running_loop()
        try:
            literal = literal_address(origin.host, origin.port)
            found = [literal] if literal is not None else await self._resolve(origin.host, origin.port)
            for _, _, place in found:
                address = str(place[0])
                if is_private(address) and not grants.names(address, origin.port):
                    raise _refused()
            context = self._contexts.get(TLS()) if origin.scheme == "https" else None
            sock = await self._connect(loop, found)
            await hand_over(loop, sock, origin, receiver, context)
        except (OSError, UnicodeError) as error:
            raise UpstreamFailure(FailureKind.CONNECT, describe(error)) from error


def is_private(address: str) -> bool:
    """Whether an address is anything but a public host's: private, loopback, link-local, metadata, multicast, reserved,
    or an IPv6 address that stands for such an IPv4 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(parsed, ipaddress.IPv6Address):
        for network, behind in _WRAPPING:
            if parsed in network:
                inner = ipaddress.IPv4Address(int(parsed) >> behind & 0xFFFFFFFF)
                return is_private(str(inner)) or not parsed.is_global
        if parsed.teredo is not None:
            return True
    special = parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified or parsed.is_link_local
    return special or not parsed.is_global or any(parsed in network for network in _NEVER_PUBLIC)


async def look_up(host: str, port: int) -> Sequence[Address]:
    """By the system's resolver, which also reads addresses in odd spellings."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, proto, address) for family, _, proto, _, address in found]


async def _race(loop: asyncio.AbstractEventLoop, addresses: Sequence[Address]) -> socket.socket:
    return await race(loop, list(addresses))


def _refused() -> UpstreamFailure:
    told = "this key may not send requests to that address"
    error = {"message": told, "type": "permission_error", "param": "api_base", "code": "override_not_allowed"}
    return UpstreamFailure(FailureKind.REJECTED, told, status=403, body=orjson.dumps({"error": error}))
