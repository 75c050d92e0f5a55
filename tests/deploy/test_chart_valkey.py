"""The bundled Valkey: its command, run here by redis-server, is what the replicas share."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import redis

from tests.deploy.pods import Pod
from tests.deploy.test_chart_serves import ask
from tests.deploy.tooling import CHART, Document, of_kind, render
from tests.e2e.processes import fetch, until
from tests.state.redis_servers import free_port

PASSWORD = "s3cret"


@contextlib.contextmanager
def started(manifests: list[Document], folder: Path) -> Iterator[int]:
    """The StatefulSet's container; its port."""
    container = of_kind(manifests, "StatefulSet", "-valkey")["spec"]["template"]["spec"]["containers"][0]
    server = shutil.which("redis-server")
    assert server, "redis-server is missing"
    port = free_port()
    words = [word.replace("$(VALKEY_PASSWORD)", PASSWORD).replace("/data", str(folder)) for word in container["args"]]
    words += ["--bind", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen([server, *words], stdout=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.terminate()


def test_two_replicas_meet_in_it(tmp_path: Path) -> None:
    manifests = render("--values", CHART / "ci/valkey-values.yaml")
    folders = [tmp_path / name for name in ("one", "two", "data")]
    for folder in folders:
        folder.mkdir()
    with started(manifests, folders[2]) as port:
        pods = [Pod(manifests, folder, redis=f"127.0.0.1:{port}") for folder in folders[:2]]
        with pods[0].running() as one, pods[1].running() as two:
            with redis.Redis(port=port, password=PASSWORD) as client:
                until(lambda: len(client.hgetall("{router-llm-router}:v2:replicas")) == 2, 20)
            for router in (one, two):
                assert ask(router, pods[0].keys["master-key"]) == 200
                assert "\nrouter_state_degraded 0" in fetch(f"{router.root}/metrics")[1].decode()
    assert list(folders[2].rglob("*.aof")), "persistence is on in these values"


def test_a_password_in_a_secret_is_in_the_url_by_name_only() -> None:
    manifests = render("--values", CHART / "ci/valkey-values.yaml")
    others = [manifest for manifest in manifests if manifest["kind"] != "Secret"]
    assert not re.search(PASSWORD, json.dumps(others))
