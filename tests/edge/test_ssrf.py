"""Server-side request forgery: whatever a client writes for `api_base`, nothing private is reached.

A listener stands on this machine's own addresses and must stay alone; the world's addresses are played by another one,
since nothing here may leave the machine.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

import router.app
from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from router.upstream.guard import GuardedUpstream, is_private
from router.upstream.names import literal_address
from router.upstream.sockets import Address, race
from tests.edge.house import House, Open, group, remote
from tests.edge.wire import CHAT, HI, Seen

PUBLIC = "93.184.216.34"
NAMES: dict[str, Sequence[str]] = {
    "good.example": (PUBLIC,),
    "six.example": ("2606:2800:220:1:248:1893:25c8:1946",),
    "loopback.example": ("127.0.0.1",),
    "loopback6.example": ("::1",),
    "mixed.example": (PUBLIC, "127.0.0.1"),
    "mixed-first.example": ("127.0.0.1", PUBLIC),
    "ten.example": ("10.0.0.1",),
    "lan.example": ("192.168.1.1",),
    "docker.example": ("172.17.0.1",),
    "metadata.example": ("169.254.169.254",),
    "metadata6.example": ("fd00:ec2::254",),
    "alibaba.example": ("100.100.100.200",),
    "azure-wire.example": ("168.63.129.16",),
    "mapped.example": ("::ffff:127.0.0.1",),
    "compatible.example": ("::127.0.0.1",),
    "nat64.example": ("64:ff9b::7f00:1",),
    "sixtofour.example": ("2002:7f00:1::",),
    "teredo.example": ("2001:0:4136:e378:8000:63bf:80ff:fffe",),
    "linklocal6.example": ("fe80::1",),
    "ula.example": ("fc00::1",),
    "zero.example": ("0.0.0.0",),
    "zero6.example": ("::",),
    "broadcast.example": ("255.255.255.255",),
    "multicast.example": ("224.0.0.1",),
    "benchmark.example": ("198.18.0.1",),
    "carrier.example": ("100.64.0.1",),
    "reserved.example": ("240.0.0.1",),
    "localhost": ("127.0.0.1",),
    "localhost.localdomain": ("127.0.0.1",),
}
"""What the name server of these tests says."""

ODD = {
    "2130706433": "127.0.0.1", "0x7f000001": "127.0.0.1", "0x7f.0.0.1": "127.0.0.1", "0177.0.0.1": "127.0.0.1",
    "017700000001": "127.0.0.1", "127.1": "127.0.0.1", "127.0.1": "127.0.0.1", "0": "0.0.0.0", "0x0": "0.0.0.0",
    "2852039166": "169.254.169.254", "0xa9fea9fe": "169.254.169.254", "0251.0376.0251.0376": "169.254.169.254",
    "3232235777": "192.168.1.1", "127.0.0.01": "127.0.0.1",
}  # fmt: skip
"""Spellings of addresses that resolvers read, and addresses that they read."""

LISTED = [*NAMES, *ODD, "127.0.0.1.", "good.example."]
"""What the key may name, so that these must be stopped by what they resolve to."""


@dataclass
class Net:
    """The world as the router sees it, and who was reached in it."""

    public: int
    private: int
    asked: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)
    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict)

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        turns = self.answers.get(host)
        if turns:
            found: Sequence[str] = turns.pop(0)
        elif host in ODD:
            found = (ODD[host],)
        elif host.rstrip(".") in NAMES:
            found = NAMES[host.rstrip(".")]
        else:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        addresses = [literal_address(address, port) for address in found]
        return [address for address in addresses if address is not None]

    async def connect(self, loop: asyncio.AbstractEventLoop, addresses: Sequence[Address]) -> socket.socket:
        """To the private listener where an address is this machine's in any way, else to the public one."""
        self.connected += [str(address[2][0]) for address in addresses]
        port = self.private if any(is_private(str(address[2][0])) for address in addresses) else self.public
        return await race(loop, [(socket.AF_INET, socket.IPPROTO_TCP, ("127.0.0.1", port))])


class Listener:
    """Counts who comes."""

    def __init__(self) -> None:
        self.reached = 0
        self.port = 0

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reached += 1
        writer.close()

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server


@pytest.fixture
async def private() -> AsyncIterator[Listener]:
    listener = Listener()
    async with await listener.start():
        yield listener


@pytest.fixture
async def public() -> AsyncIterator[MockServer]:
    server = MockServer(Behaviour(reply="out there"))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def net(public: MockServer, private: Listener, monkeypatch: pytest.MonkeyPatch) -> Net:
    world = Net(int(public.url.rsplit(":", 1)[1].partition("/")[0]), private.port)
    monkeypatch.setattr(router.app, "GuardedUpstream", partial(GuardedUpstream, world.resolve, world.connect))
    return world


def keys(hosts: Sequence[str]) -> list[dict[str, Any]]:
    allow = ["api_base", "api_key", "headers", "extra_headers", "model_list"]
    return [{"name": "free", "key": "sk-free", "allow": allow, "allowed_hosts": list(hosts)}]


async def ask(house: House, **more: Any) -> Seen:
    return await house.ask(CHAT, HI | more, headers="authorization: Bearer sk-free\r\n")


def attacks(port: int) -> list[str]:
    """Everything that tries to get in: `port` is the private listener's."""
    listed = [f"http://{name}:{{port}}/v1" for name in [*NAMES, *ODD] if not name.startswith(("good", "six"))]
    return [one.format(port=port) for one in [
        *listed,
        "http://127.0.0.1:{port}/v1", "https://127.0.0.1:{port}/v1", "http://[::1]:{port}/v1",
        "http://[::ffff:127.0.0.1]:{port}/v1", "http://[::ffff:7f00:1]:{port}/v1", "http://[0:0:0:0:0:ffff:127.0.0.1]:{port}",
        "http://[::]:{port}/v1", "http://0.0.0.0:{port}/v1", "http://[::127.0.0.1]:{port}/v1",
        "http://[64:ff9b::127.0.0.1]:{port}/v1", "http://[fe80::1%25lo]:{port}/v1", "http://[::1%25lo]:{port}/v1",
        "http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/latest", "http://127.0.0.1.:{port}/v1",
        "http://localhost.:{port}/v1", "http://LOCALHOST:{port}/v1", "http://good.example.:{port}/v1",
        "http://good.example@127.0.0.1:{port}/v1", "http://good.example:80@127.0.0.1:{port}/v1",
        "http://127.0.0.1:{port}\\@good.example/v1", "http://good.example%40127.0.0.1:{port}/v1",
        "http://127.0.0.1:{port}#@good.example/", "http://127.0.0.1:{port}?@good.example/",
        "http://good.example#@127.0.0.1:{port}/v1", "http://127.0.0.1%23.good.example:{port}/v1",
        "http://good.example.127.0.0.1.nip.io:{port}/v1", "http://①②⑦.⓪.⓪.①:{port}/v1", "http://１２７.0.0.1:{port}/v1",
        "http://127。0。0。1:{port}/v1", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/v1", "http://good.examplе:{port}/v1",
        "http://%31%32%37.0.0.1:{port}/v1", "http://127.0.0.1%00.good.example:{port}/v1",
        "http://127.0.0.1:{port} .good.example/v1", "http:// 127.0.0.1:{port}/v1", "http:/127.0.0.1:{port}/v1",
        "http:127.0.0.1:{port}/v1", "//127.0.0.1:{port}/v1", "127.0.0.1:{port}/v1", "http:///127.0.0.1:{port}/v1",
        "http://good.example\r\nhost: 127.0.0.1:{port}/v1", "http://good.example/v1\r\nx-evil: 1", "http://good.example/\nx",
        "http://good.example\t.evil:{port}/v1", "http://good.example:{port}/v1", "http://good.example:0/v1",
        "http://good.example:99999/v1", "http://good.example:-1/v1", "http://good.example:80{port}/v1",
        "http://good.example:/v1", "http://:{port}/v1", "http://[good.example]:{port}/v1",
        "file:///etc/passwd", "gopher://127.0.0.1:{port}/_GET", "ftp://127.0.0.1:{port}/", "dict://127.0.0.1:{port}/x",
        "unix:///var/run/docker.sock:/v1", "mock://x/v1", "ws://127.0.0.1:{port}/v1", "jar:http://127.0.0.1:{port}!/",
        "data:text/plain,x", "javascript:alert(1)", "http+unix://%2Frun%2Fx.sock/v1", "HTTP://127.0.0.1:{port}/v1",
        "${{file:/etc/passwd}}", "http://${{HOME}}:{port}/v1", "http://evil.example:{port}/v1", "",
    ]]  # fmt: skip


async def test_nothing_private_is_reached_whatever_a_client_writes(house: Open, net: Net, private: Listener) -> None:
    tried = attacks(private.port)
    assert len(set(tried)) >= 60
    hosts = [name for name in LISTED if not name.endswith(".")]
    ports = [f"{name}:{private.port}" for name in hosts if name != "good.example"]
    async with house(group(remote("d", MockServer(Behaviour()))), keys=keys([*hosts, *ports])) as router_:
        for base in tried:
            for more in ({"api_base": base}, {"model_list": [{"provider": "openai", "api_base": base}]}):
                seen = await ask(router_, **more)
                assert seen.status in (400, 403, 502), (base, seen.status, seen.body)
                assert str(private.port) not in seen.body.decode(), "no answer tells an address"
        assert private.reached == 0
        assert net.connected == []


async def test_the_legitimate_case_works_whole_and_streamed(house: Open, net: Net, public: MockServer) -> None:
    async with house(group(remote("d", public)), keys=keys(["good.example", "six.example:8443"])) as router_:
        for more in ({}, {"stream": True}):
            seen = await ask(router_, api_base="http://good.example/v1", api_key="sk-mine", **more)
            assert seen.status == 200
            assert b"out" in seen.body
            assert seen.headers["x-router-model"] == "client"
        seen = await ask(router_, api_base="http://six.example:8443/v1")
        assert seen.status == 200
        assert net.connected == [PUBLIC, PUBLIC, *NAMES["six.example"]]


async def test_a_name_is_looked_up_once_and_what_was_checked_is_what_is_connected_to(house: Open, net: Net) -> None:
    net.answers["good.example"] = [(PUBLIC,), ("127.0.0.1",), ("127.0.0.1",)]
    async with house(group(remote("d", MockServer(Behaviour()))), keys=keys(["good.example"])) as router_:
        assert (await ask(router_, api_base="http://good.example/v1")).status == 200
        assert (net.asked, net.connected) == (["good.example"], [PUBLIC])
        assert (await ask(router_, api_base="http://good.example/v1")).status == 403, "it points inside by now"
        assert net.connected == [PUBLIC]


async def test_a_private_address_is_reached_only_where_an_entry_is_that_address(house: Open, net: Net) -> None:
    async with house(group(remote("d", MockServer(Behaviour()))), keys=keys(["ten.example:8000"])) as router_:
        assert (await ask(router_, api_base="http://ten.example:8000/v1")).status == 403
    async with house(group(remote("d", MockServer(Behaviour()))), keys=keys(["10.0.0.1:8000"])) as router_:
        assert (await ask(router_, api_base="http://10.0.0.1:8001/v1")).status == 403
        assert net.connected == []
        await ask(router_, api_base="http://10.0.0.1:8000/v1", num_retries=0)
        assert net.connected == ["10.0.0.1"]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "168.63.129.16", "0.0.0.0",
     "255.255.255.255", "224.0.0.1", "198.18.0.1", "203.0.113.5", "240.0.0.1", "::", "::1", "fe80::1", "fc00::1",
     "fd00:ec2::254", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2001:db8::1", "ff02::1", "fec0::1", "no"],
)  # fmt: skip
def test_what_is_private(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450:4001::8a"])
def test_what_is_public(address: str) -> None:
    assert not is_private(address)
