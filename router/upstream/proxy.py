"""Which proxy leads to an origin, and how to speak to it. Sans-I/O, but for the tunnel's few bytes."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.base import Origin
from router.upstream.framing import Limits, ResponseReader
from router.upstream.refusal import Malformed

_ANSWER = Limits(head=16384, fields=100)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `authorization` is the value of its `proxy-authorization`, or empty; `problem` is why it cannot be
    used, which is told whenever it would have to be."""

    host: str = ""
    port: int = 0
    authorization: bytes = field(default=b"", repr=False)
    problem: str = ""


class Exemption(NamedTuple):
    """One rule of NO_PROXY: a name, with `below` the names under it, or a network; on one port or all (None)."""

    name: str = ""
    exact: bool = True
    below: bool = False
    network: Network | None = None
    port: int | None = None

    def covers(self, host: str, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            address = _address(host)
            return address is not None and address in self.network
        return (self.exact and host == self.name) or (self.below and host.endswith("." + self.name))


@dataclass(frozen=True, slots=True)
class Proxies:
    """Who goes through what. `everything` turns all proxies off; `loopback` is whether even this machine's own
    addresses are reached through a proxy."""

    http: Proxy | None = None
    https: Proxy | None = None
    exempt: tuple[Exemption, ...] = ()
    everything: bool = False
    loopback: bool = False

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Proxies:
        """From `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; each one's lower-case spelling goes first."""

        def value(name: str) -> str:
            return (environment.get(name) or environment.get(name.upper()) or "").strip()

        both = value("all_proxy")
        rules = value("no_proxy").replace(",", " ").lower().split()
        return cls(
            _proxy(value("http_proxy") or both),
            _proxy(value("https_proxy") or both),
            tuple(rule for word in rules if (rule := _exemption(word)) is not None),
            "*" in rules,
            "<-loopback>" in rules,
        )

    def to(self, origin: Origin) -> Proxy | None:
        """The proxy for an origin, or None: connect to it directly."""
        proxy = {"http": self.http, "https": self.https}.get(origin.scheme)
        if proxy is None or self.everything:
            return None
        host = origin.host.lower().rstrip(".")
        if not self.loopback and _is_loopback(host):
            return None
        return None if any(rule.covers(host, origin.port) for rule in self.exempt) else proxy


NO_PROXIES = Proxies()


class Forward:
    """How requests are written for a proxy that passes them on: with the whole address in the first line."""

    __slots__ = ("_address", "_authorization")

    def __init__(self, origin: Origin, proxy: Proxy) -> None:
        self._address = b"http://" + authority(origin, 80)
        self._authorization = _field(proxy)

    def head(self, head: bytes) -> bytes:
        line, _, fields = head.partition(b"\r\n")
        method, _, rest = line.partition(b" ")
        return b"%b %b%b\r\n%b%b" % (method, self._address, rest, self._authorization, fields)


def authority(origin: Origin, usual_port: int | None = None) -> bytes:
    """`host:port`, without the port where it is the usual one."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return (host if origin.port == usual_port else f"{host}:{origin.port}").encode("ascii")


async def tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """Have the proxy connect this socket to the origin. Raises UpstreamFailure(CONNECT) and OSError."""
    target = authority(origin)
    head = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (target, target, _field(proxy))
    await loop.sock_sendall(sock, head)
    answer = Answer()
    while not answer.complete:
        data = await loop.sock_recv(sock, 16384)
        if not data:
            raise _failure("closed the connection")
        answer.feed(data)
    if not 200 <= answer.status < 300:
        raise refused(answer.status)


class Answer:
    """Reads the answer to CONNECT: a head, and behind a 2xx nothing, since in TLS the client speaks first."""

    def __init__(self) -> None:
        self._reader = ResponseReader(_ANSWER)
        self._reader.expect()

    @property
    def complete(self) -> bool:
        return self._reader.head

    @property
    def status(self) -> int:
        return self._reader.status

    def feed(self, data: bytes) -> None:
        """Raises UpstreamFailure(CONNECT) for what is no answer."""
        reader = self._reader
        for line in data.splitlines(keepends=True):
            if reader.head:
                if reader.status < 300:
                    raise _failure("sent more than its answer")
                return
            try:
                reader.feed(line)
            except Malformed as malformed:
                raise _failure(f"sent a malformed response: {malformed}") from malformed


def refused(status: int) -> UpstreamFailure:
    if status == 407:
        return _failure("refused the credentials (407)")
    return _failure(f"refused to connect ({status})")


def _failure(what: str) -> UpstreamFailure:
    return UpstreamFailure(FailureKind.CONNECT, f"the proxy {what}")


def _field(proxy: Proxy) -> bytes:
    return b"proxy-authorization: %b\r\n" % proxy.authorization if proxy.authorization else b""


def _proxy(url: str) -> Proxy | None:
    if not url:
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return Proxy(problem="its address is not valid")
    if parts.scheme != "http":
        return Proxy(problem="only http:// proxies can be used")
    if not host:
        return Proxy(problem="its address is not valid")
    authorization = b""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = b"Basic " + b64encode(pair.encode())
    return Proxy(host, 80 if port is None else port, authorization)


def _exemption(word: str) -> Exemption | None:
    try:
        return Exemption(network=ipaddress.ip_network(word.strip("[]"), strict=False))
    except ValueError:
        pass
    host, colon, digits = word.rpartition(":")
    port = int(digits) if colon and digits.isdecimal() and len(digits) < 6 else None
    if port is None:
        host = word
    address = _address(host.strip("[]"))
    if address is not None:
        return Exemption(network=ipaddress.ip_network(address), port=port)
    below_only = host.startswith((".", "*."))
    name = host.removeprefix("*").strip(".")
    if not name or name.startswith("<"):
        return None
    return Exemption(name, exact=not below_only, below=True, port=port)


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
