"""The real commands, as processes on ports of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parent.parent.parent
STARTED_WITHIN = 30.0
"""Seconds: generous, for a busy machine."""


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process' environment without what would change the router's settings."""
    own = {name: value for name, value in os.environ.items() if not name.upper().startswith("ROUTER")}
    return {**own, "PYTHONPATH": str(ROOT), **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "router", *arguments]


def run(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, cwd=cwd, env=environment(env), check=False, timeout=30
    )


def fetch(url: str, body: object = None, method: str = "GET", timeout: float = 10, key: str = "") -> tuple[int, bytes]:
    """Status and body of one request."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    asked = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=timeout) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Ask until it is so; returns the seconds it took. Raises TimeoutError."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > seconds:
            raise TimeoutError(f"still not so after {seconds:g} s")
    return time.perf_counter() - began


def at_once(stack: ExitStack, *starting: AbstractContextManager[T]) -> list[T]:
    """Start them beside each other, not one after the other; each ends with the stack."""
    with ThreadPoolExecutor(len(starting)) as threads:
        return list(threads.map(stack.enter_context, starting))


@dataclass
class Running:
    """A command that has been started. `lines` is what it has said so far, of its stream that announces the port."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def follow(self, stream: Any, announces: Callable[[str], int | None]) -> None:
        """Read the stream to its end on a thread; returns once it has named the port."""
        named = threading.Event()

        def read() -> None:
            try:
                for line in stream:
                    self.lines.append(line)
                    if not named.is_set() and (port := announces(line)) is not None:
                        self.port = port
                        named.set()
            except ValueError:
                pass  # closed at the end of the test, while a process that was started by the command had it open
            named.set()

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        assert named.wait(STARTED_WITHIN), self.lines
        assert self.port, self.lines

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def ended(self, seconds: float = 30.0) -> int:
        """Wait for its end; the exit code, everything it said being in `lines`."""
        code = self.process.wait(seconds)
        self._reader.join(10)
        return code

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()


@contextmanager
def _running(arguments: list[str], env: Mapping[str, str], **streams: Any) -> Iterator[Running]:
    with subprocess.Popen(
        command(*arguments), text=True, cwd=ROOT, env=environment(env), stdin=subprocess.DEVNULL, **streams
    ) as process:
        try:
            yield Running(process)
        finally:
            if process.poll() is None:
                process.kill()


class Mock(Running):
    """A mock upstream."""

    def behave(self, **changes: object) -> None:
        """Change its behaviour; the script starts anew."""
        status, text = fetch(f"{self.root}/mock/behaviour", changes, "PUT")
        assert status == 200, text

    def reset(self) -> None:
        fetch(f"{self.root}/mock/reset", {}, "POST")

    def stats(self) -> dict[str, Any]:
        return dict(json.loads(fetch(f"{self.root}/mock/stats")[1]))

    def requests(self) -> list[dict[str, Any]]:
        return list(json.loads(fetch(f"{self.root}/mock/requests")[1]))


@contextmanager
def mock_process(*arguments: str, port: int = 0) -> Iterator[Mock]:
    def announced(line: str) -> int | None:
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)/v1", line)
        return int(found[1]) if found else None

    with _running(["mock", "--port", str(port), *arguments], {}, stdout=subprocess.PIPE) as running:
        mock = Mock(running.process)
        mock.follow(running.process.stdout, announced)
        yield mock


class Router(Running):
    """The router."""

    log: Path

    def metric(self, name: str) -> float:
        """One value of `/metrics`, by its name and labels as they stand there; 0 where it is missing."""
        text = fetch(f"{self.root}/metrics")[1].decode()
        values = [line.rpartition(" ")[2] for line in text.splitlines() if line.rpartition(" ")[0] == name]
        return float(values[0]) if values else 0.0

    def in_flight(self) -> float:
        return self.metric("router_in_flight_requests")

    def status(self) -> dict[str, Any]:
        """The live picture."""
        return dict(json.loads(fetch(f"{self.root}/router/status")[1]))

    def events(self) -> list[dict[str, Any]]:
        """Its own log so far."""
        return [json.loads(line) for line in self.lines]

    def resident_megabytes(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024


@contextmanager
def router_process(config: Path | dict[str, Any], folder: Path, *arguments: str, **env: str) -> Iterator[Router]:
    """`serve` with a file, or with settings written to one in `folder`. Its access log is `Router.log`."""
    if isinstance(config, dict):
        path = folder / "router.yaml"
        path.write_text(json.dumps(config))
    else:
        path = config
    log = folder / "access.log"

    def announced(line: str) -> int | None:
        event = json.loads(line)
        return int(event["port"]) if event["event"] == "listening" else None

    with (
        log.open("w") as access,
        _running(
            ["serve", "--config", str(path), "--port", "0", *arguments], env, stdout=access, stderr=subprocess.PIPE
        ) as running,
    ):
        router = Router(running.process)
        router.log = log
        router.follow(running.process.stderr, announced)
        yield router


def deployment(mock: Mock, name: str, **more: Any) -> dict[str, Any]:
    """One entry of `model_list`, on a mock upstream."""
    return {"model_name": name, "provider": "openai", "api_base": mock.url} | more


def settings(*model_list: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A whole configuration that drains at once."""
    return {"server": {"drain_delay": 0, "drain_seconds": 10}, "model_list": list(model_list)} | more
