"""A real HAProxy in front of several routers, set up as docs/operations.md says."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.processes import fetch, until

CONFIG = """\
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout check 5s
    option redispatch 1
    retries 3
    retry-on conn-failure empty-response
    default-server check inter 100ms fall 2 rise 1
frontend clients
    bind 127.0.0.1:{port}
    default_backend routers
backend routers
    balance leastconn
    option httpchk GET /health/ready
    http-check expect status 200
{servers}
frontend state
    bind 127.0.0.1:{state}
    http-request return status 200 content-type text/plain lf-string "{up}"
"""


class Balancer:
    """`port` is where clients go."""

    def __init__(self, port: int, state: int) -> None:
        self.port = port
        self._state = state

    def up(self) -> str:
        """Of each router in turn, 1 where it gets traffic."""
        return fetch(f"http://127.0.0.1:{self._state}/")[1].decode()


def free_ports(count: int) -> list[int]:
    """Ports that are free now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@contextmanager
def balancer(folder: Path, ports: list[int]) -> Iterator[Balancer]:
    """Up once all routers get traffic."""
    port, state = free_ports(2)
    servers = "\n".join(f"    server r{number} 127.0.0.1:{each}" for number, each in enumerate(ports))
    up = "".join(f"%[srv_is_up(routers/r{number})]" for number in range(len(ports)))
    (folder / "haproxy.cfg").write_text(CONFIG.format(port=port, state=state, servers=servers, up=up))
    with (folder / "haproxy.log").open("wb") as output:
        process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    running = Balancer(port, state)

    def ready() -> bool:
        assert process.poll() is None, (folder / "haproxy.log").read_text()
        try:
            return running.up() == "1" * len(ports)
        except OSError:
            return False

    try:
        until(ready)
        yield running
    finally:
        process.terminate()
        process.wait(10)
