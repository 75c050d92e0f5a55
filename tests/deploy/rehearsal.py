"""The Dockerfile followed without Docker, and its container run: `make image-check`, as root.

A mount namespace of its own stands in for the engine: overlays of this machine's root play the two base images, with
Python's prefix over /usr/local as it is there; each step is run in a chroot; the result is read-only when the command
starts as the image's user. What it cannot show is the base images themselves.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deploy.recipe import Stage, stages
from tests.e2e.processes import fetch, until

ROOT = Path(__file__).parent.parent.parent
KEY = "sk-rehearsal"
PASSED_ON = ("PIP_", "HTTP", "http", "NO_PROXY", "no_proxy", "SSL_", "REQUESTS_")
"""Beginnings of variables that pip may need on this machine."""


def say(text: str) -> None:
    sys.stdout.write(f"image: {text}\n")
    sys.stdout.flush()


def sh(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True)


@dataclass
class Container:
    """One stage on its way: a root of its own, and what the steps so far have set."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp"})
    folder: str = "/"
    user: str = "0:0"
    said: dict[str, str] = field(default_factory=dict)

    @classmethod
    def made(cls, place: Path) -> Container:
        """Over this machine's root, which stays as it is."""
        overlay(Path("/"), place / "files", place / "root")
        if sys.base_prefix != "/usr":
            overlay(Path(sys.base_prefix), place / "python", place / "root/usr/local", mounted_on=True)
            sh("chroot", place / "root", "ldconfig")
        for name in ("dev", "proc"):
            sh("mount", "--rbind", f"/{name}", place / "root" / name)
        return cls(place / "root")

    def command(self, words: list[str]) -> list[str]:
        env = [f"{name}={value}" for name, value in self.env.items()]
        return ["chroot", f"--userspec={self.user}", str(self.root), "env", "-i", "-C", self.folder, *env, *words]

    def run(self, words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(words), text=True, check=False, **options)

    def path(self, name: str) -> Path:
        return self.root / os.path.join(self.folder, name).lstrip("/")


def overlay(lower: Path, upper: Path, root: Path, *, mounted_on: bool = False) -> None:
    """`lower` at `root`, with changes kept in `upper`. `mounted_on`: hide what is there."""
    work = upper.with_name(f"{upper.name}-work")
    for folder in (upper, work, root):
        folder.mkdir(parents=True, exist_ok=mounted_on or folder is root)
    sh("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", root)


def follow(stage: Stage, container: Container, others: dict[str, Container]) -> None:
    """Do what the stage's steps say."""
    for instruction, words in stage.steps:
        say(f"{instruction} {words[:100]}")
        if instruction == "RUN":
            passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
            settings = [f"{name}={value}" for name, value in passed.items()]
            done = container.run(["env", *settings, "sh", "-ec", words], stdout=subprocess.DEVNULL)
            if done.returncode:
                raise SystemExit(f"image: the step ended with {done.returncode}")
        elif instruction == "COPY":
            copy(words.split(), container, others)
        elif instruction == "ENV":
            for pair in shlex.split(words):
                name, _, value = pair.partition("=")
                container.env[name] = value.replace("$PATH", container.env["PATH"])
        elif instruction == "WORKDIR":
            container.folder = words
            container.path("").mkdir(parents=True, exist_ok=True)
        elif instruction == "USER":
            container.user = words
        else:
            container.said[instruction] = words


def copy(words: list[str], container: Container, others: dict[str, Container]) -> None:
    origin = ROOT
    if words[0].startswith("--from="):
        origin = others[words.pop(0).removeprefix("--from=")].root
    *sources, target = words
    for source in sources:
        found = origin / source.lstrip("/")
        place = container.path(target)
        if found.is_dir():
            ignored = shutil.ignore_patterns("__pycache__") if origin == ROOT else None
            shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True, ignore=ignored)
        else:
            if len(sources) > 1 or target.endswith("/"):
                place = place / found.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, place)


def serve(container: Container) -> None:
    """Start the container's command on a read-only root, ask it as a client does, and end it."""
    root = container.root
    container.folder = "/"
    for mounted in (root / "usr/local", root) if sys.base_prefix != "/usr" else (root,):
        sh("mount", "-o", "remount,ro,bind", mounted)
    sh("mount", "-t", "tmpfs", "tmpfs", root / "tmp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    container.env |= {
        "ROUTER__SERVER__PORT": port, "ROUTER__SERVER__DRAIN_DELAY": "0", "ROUTER__AUTH__MASTER_KEY": KEY,
    }  # fmt: skip
    probe = "import router.flow.runner as it, sys; sys.stdout.write(it.__file__)"
    where = container.run(["python", "-c", probe], stdout=subprocess.PIPE).stdout
    assert where.startswith("/opt/llm-router/"), where
    assert where.endswith(".so"), f"not compiled: {where}"
    for forbidden in (
        ["touch", "/opt/llm-router/x"],
        ["touch", "/etc/llm-router/x"],
        ["python", "-m", "pip", "--version"],
    ):
        assert container.run(forbidden, capture_output=True).returncode != 0, forbidden
    command = json.loads(container.said["ENTRYPOINT"]) + json.loads(container.said["CMD"])
    health = json.loads(container.said["HEALTHCHECK"].partition("CMD ")[2])
    with subprocess.Popen(container.command(command), stdout=subprocess.DEVNULL) as process:
        try:
            took = until(lambda: container.run(health, capture_output=True).returncode == 0, 30)
            say(f"{' '.join(command)} is healthy after {took:.1f} s, as {container.user}, on a read-only root")
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            body = {"model": "demo", "messages": [{"role": "user", "content": "Hello!"}]}
            status, _ = fetch(url, body, "POST")
            assert status == 401, status
            status, text = fetch(url, body, "POST", key=KEY)
            assert status == 200, text
            say(f"answered: {json.loads(text)['choices'][0]['message']['content'][:60]}")
        finally:
            process.terminate()
    assert process.returncode == 0, process.returncode
    assert container.run(health, capture_output=True).returncode != 0, "healthy, though gone"
    say("left with 0 after SIGTERM")


def rehearse(place: Path) -> None:
    """In a mount namespace of its own, with `place` empty."""
    sh("mount", "-t", "tmpfs", "tmpfs", place)
    done: dict[str, Container] = {}
    for number, stage in enumerate(stages((ROOT / "Dockerfile").read_text())):
        say(f"FROM {stage.base}, played by this machine")
        container = Container.made(place / str(number))
        follow(stage, container, done)
        done[stage.name] = container
    size = subprocess.run(
        ["du", "-sm", str(container.path("/opt/llm-router"))], capture_output=True, text=True, check=True
    )
    say(f"/opt/llm-router has {size.stdout.split()[0]} MB")
    serve(container)


def main() -> None:
    if len(sys.argv) > 1:
        rehearse(Path(sys.argv[1]))
        return
    if os.geteuid() != 0:
        raise SystemExit("image: this needs root, to make a root of its own")
    with tempfile.TemporaryDirectory() as folder:
        inside = [sys.executable, "-m", "tests.deploy.rehearsal", folder]
        raise SystemExit(
            subprocess.run(["unshare", "--mount", "--propagation", "private", *inside], check=False).returncode
        )


if __name__ == "__main__":
    main()
