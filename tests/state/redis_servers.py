"""Real Redis servers, as processes on ports of their own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

PASSWORD = "a-password"
STARTED_WITHIN = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RedisServer:
    """One server on loopback. `url` is how a router finds it."""

    program: str
    folder: Path
    options: tuple[str, ...] = ()
    scheme: str = "redis"
    login: str = ""
    query: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.login}127.0.0.1:{self.port}{self.query}"

    def admin(self) -> redis.Redis:
        """A client of the tests' own."""
        tls: dict[str, Any] = {
            "ssl": True, "ssl_cert_reqs": "none",
            "ssl_certfile": str(self.folder / "cert.pem"), "ssl_keyfile": str(self.folder / "key.pem"),
        }  # fmt: skip
        password = PASSWORD if self.login else None
        return redis.Redis(
            port=self.port, password=password, protocol=2, **(tls if self.scheme.startswith("rediss") else {})
        )

    def start(self) -> None:
        """Empty, on the same port as before. Returns once it answers."""
        port = ("--port", "0", "--tls-port", str(self.port)) if self.scheme == "rediss" else ("--port", str(self.port))
        self.process = subprocess.Popen(
            [self.program, *port, "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder), *self.options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        began = time.monotonic()
        with self.admin() as admin:
            while True:
                try:
                    admin.ping()
                    return
                except redis.ConnectionError:
                    assert self.process.poll() is None, "it has ended"
                    assert time.monotonic() - began < STARTED_WITHIN
                    time.sleep(0.02)

    def stop(self) -> None:
        """At once, keeping nothing."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def hang(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server(
    folder: Path, *options: str, program: str = "redis-server", scheme: str = "redis", login: str = "", query: str = ""
) -> Iterator[RedisServer]:
    server = RedisServer(found(program), folder, options, scheme, login, query)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def redis_password(folder: Path) -> Iterator[RedisServer]:
    with redis_server(folder, "--requirepass", PASSWORD, login=f"default:{PASSWORD}@") as server:
        yield server


@contextmanager
def redis_cluster(folder: Path) -> Iterator[RedisServer]:
    """A cluster of one node, which has all the slots."""
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with redis_server(folder, *options, scheme="redis+cluster") as server:
        with server.admin() as admin:
            admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while "cluster_state:ok" not in str(admin.execute_command("CLUSTER", "INFO")):
                time.sleep(0.02)
        yield server


@contextmanager
def redis_tls(folder: Path) -> Iterator[RedisServer]:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1",
         "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    options = ("--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem",
               "--tls-ca-cert-file", "cert.pem", "--tls-auth-clients", "yes")  # fmt: skip
    query = f"?ca_file={folder / 'cert.pem'}&cert_file={folder / 'cert.pem'}&key_file={folder / 'key.pem'}"
    with redis_server(folder, *options, scheme="rediss", query=query) as server:
        yield server


def found(program: str) -> str:
    path = shutil.which(program, path="/usr/bin:/usr/sbin:/usr/local/bin") or shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path
