"""Real servers: nginx and HAProxy as subprocesses."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import Certificates


@dataclass(frozen=True)
class Nginx:
    """One nginx, many servers: each port has a character of its own."""

    folder: Path
    ports: dict[str, int]

    def connections(self) -> int:
        """How many connections nginx has accepted on all ports since it started."""
        with socket.create_connection(("127.0.0.1", self.ports["status"])) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            text = b""
            while data := sock.recv(4096):
                text += data
        return int(text.split(b"requests\n")[1].split()[0])


LARGE = b"0123456789abcdef" * 65536  # 1 MiB
EVENTS = b"".join(b"data: %d\n\n" % i for i in range(1000)) + b"data: [DONE]\n\n"

SERVERS = {
    "plain": "",
    "three_requests": "keepalive_requests 3;",
    "no_keepalive": "keepalive_timeout 0;",
    "small_bodies": "client_max_body_size 1k;",
    "tls": "ssl_certificate server.pem; ssl_certificate_key server.key;",
    "tls_no_keepalive": "ssl_certificate server.pem; ssl_certificate_key server.key; keepalive_timeout 0;",
    "tls_selfsigned": "ssl_certificate selfsigned.pem; ssl_certificate_key selfsigned.key;",
    "tls_client": "ssl_certificate server.pem; ssl_certificate_key server.key;"
    " ssl_client_certificate ca.pem; ssl_verify_client on;",
    "tls_old": "ssl_certificate server.pem; ssl_certificate_key server.key; ssl_protocols TLSv1.1;",
}

LOCATIONS = """
    location = /small { return 200 "small"; }
    location = /taken { proxy_pass http://127.0.0.1:PLAIN/small; }
    location = /empty { return 200; }
    location = /nothing { return 204; }
    location = /slow_down { add_header retry-after 7 always; return 429 "slow down"; }
    location = /chunked { alias large; sub_filter nothing nothing; sub_filter_types *; }
    location = /until_close { alias large; sub_filter nothing nothing; sub_filter_types *;
                              chunked_transfer_encoding off; }
    location = /large { alias large; }
    location = /events { alias events; default_type text/event-stream; sub_filter nothing nothing;
                         sub_filter_types *; }
    location = /gzip { alias large; gzip on; gzip_types *; gzip_proxied any; add_header content-encoding gzip; }
    error_page 405 =200 $uri;
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "large").write_bytes(LARGE)
    (folder / "events").write_bytes(EVENTS)
    for file in certificates.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    ports = dict(zip([*SERVERS, "status"], free_ports(len(SERVERS) + 1), strict=True))
    kinds = {name: "ssl" if name.startswith("tls") else "" for name in SERVERS}
    servers = (
        "".join(
            f"server {{ listen 127.0.0.1:{ports[name]} {kinds[name]}; {settings} {LOCATIONS} }}\n"
            for name, settings in SERVERS.items()
        )
        .replace("alias ", f"alias {folder}/")
        .replace("PLAIN", str(ports["plain"]))
    )
    (folder / "nginx.conf").write_text(f"""
        daemon off; master_process off; pid nginx.pid; error_log stderr warn;
        events {{ worker_connections 512; }}
        http {{
            access_log off; root {folder}; default_type application/json;
            client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
            scgi_temp_path scgi;
            {servers}
            server {{ listen 127.0.0.1:{ports["status"]}; location / {{ stub_status; }} }}
        }}
    """)
    command = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
    server = Nginx(folder, ports)
    try:
        for _ in range(500):
            try:
                server.connections()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, (folder / "stderr").read_text()
                time.sleep(0.01)
        else:
            pytest.fail("nginx does not answer: " + (folder / "stderr").read_text())
        yield server
    finally:
        process.terminate()
        process.wait(10)


FRONTS = ("plain", "tls", "impatient", "closing", "refusing", "down")


@pytest.fixture(scope="session")
def haproxy(tmp_path_factory: pytest.TempPathFactory, nginx: Nginx, certificates: Certificates) -> Iterator[Nginx]:
    """Its ports by name, in the shape of nginx'."""
    folder = tmp_path_factory.mktemp("haproxy")
    ports = dict(zip(FRONTS, free_ports(len(FRONTS)), strict=True))
    pem = "".join(Path(certificates.path(name)).read_text() for name in ("server.pem", "server.key"))
    (folder / "server.pem").write_text(pem)
    nowhere = free_ports(1)[0]
    (folder / "haproxy.cfg").write_text(f"""
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout http-keep-alive 20s
frontend plain
    bind 127.0.0.1:{ports["plain"]}
    default_backend nginx
frontend tls
    bind 127.0.0.1:{ports["tls"]} ssl crt {folder}/server.pem
    default_backend nginx
frontend impatient
    bind 127.0.0.1:{ports["impatient"]}
    timeout http-keep-alive 700ms
    http-request return status 200 content-type application/json string "own"
frontend closing
    bind 127.0.0.1:{ports["closing"]}
    option httpclose
    default_backend nginx
frontend refusing
    bind 127.0.0.1:{ports["refusing"]}
    http-request deny deny_status 429
frontend down
    bind 127.0.0.1:{ports["down"]}
    default_backend nowhere
backend nginx
    server nginx 127.0.0.1:{nginx.ports["plain"]}
backend nowhere
    server nowhere 127.0.0.1:{nowhere}
    retries 0
""")
    with (folder / "output").open("wb") as output:
        command = ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    server = Nginx(folder, ports)
    try:
        for _ in range(500):
            if answers(server):
                break
            assert process.poll() is None, (folder / "output").read_text()
            time.sleep(0.01)
        else:
            pytest.fail("HAProxy does not answer: " + (folder / "output").read_text())
        yield server
    finally:
        process.terminate()
        process.wait(10)


def answers(server: Nginx) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", server.ports["refusing"])) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return sock.recv(12).endswith(b"429")
    except ConnectionError:
        return False
