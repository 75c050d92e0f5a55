"""A rendered pod on this machine: its files as the kubelet lays them, its environment, its command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from router.config.unbuilt import UNBUILT
from tests.deploy.tooling import SECRETS, Document, environment_of, of_kind, pod_of
from tests.e2e.processes import Router, router_process

CONFIG = "/etc/llm-router"
NOBODY = "127.0.0.1:1"
"""An address where nothing listens."""


def project(folder: Path, files: Mapping[str, str], version: str = "1") -> None:
    """Write a projected volume as the kubelet does, or replace its files all at once by swapping one symlink."""
    data = folder / f"..{version}"
    data.mkdir(parents=True)
    for name, text in files.items():
        (data / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(data.name)
    (folder / "..data_tmp").rename(folder / "..data")


class Pod:
    """The router's pod of `manifests`, its volumes below `folder`. What a Secret of the user's holds is made up."""

    def __init__(self, manifests: list[Document], folder: Path, redis: str = NOBODY) -> None:
        """`redis`: what is there in place of the Redis that the manifests name."""
        self.folder = folder
        self.config = folder / "config"
        self.secrets = folder / "secrets"
        pod = pod_of(manifests)
        env = environment_of(pod)
        text = of_kind(manifests, "ConfigMap")["data"]["router.yaml"]
        given = [manifest["stringData"] for manifest in manifests if manifest["kind"] == "Secret"]
        names = re.findall(re.escape(SECRETS) + r"/([-._\w]+)", text + "".join(env.values()))
        self.keys = {name: f"sk-{name}" for name in names} | (given[0] if given else {})
        project(self.config, {"router.yaml": self._here(text)})
        project(self.secrets, self.keys)
        assert pod["containers"][0]["args"] == ["serve", "--config", f"{CONFIG}/router.yaml"]
        self.env = {name: self._here(value) for name, value in env.items() if _is_built(name)}
        if "ROUTER__STATE__REDIS_URL" in self.env:
            url = self.env["ROUTER__STATE__REDIS_URL"]
            self.env["ROUTER__STATE__REDIS_URL"] = re.sub(r"[-\w.]+:\d+(?=/\d)", redis, url)

    @contextmanager
    def running(self, *, leaving: bool = False) -> Iterator[Router]:
        """Its container's command, on a free port. `leaving`: at the pace that the pod sets, not at once."""
        env = {name: value for name, value in self.env.items() if name != "ROUTER__SERVER__PORT"}
        if not leaving:
            env["ROUTER__SERVER__DRAIN_DELAY"] = "0"
        with router_process(self.config / "router.yaml", self.folder, **env) as router:
            yield router
            if router.process.poll() is None:
                assert router.terminate() == 0

    def _here(self, text: str) -> str:
        return text.replace(SECRETS, str(self.secrets)).replace(CONFIG, str(self.config))


def _is_built(variable: str) -> bool:
    """Whether this version knows the setting: the chart is ahead of it in some."""
    return variable.removeprefix("ROUTER__").lower().replace("__", ".") not in UNBUILT
