"""A real Prometheus that scrapes a router every quarter of a second, with the shipped rules in a hurry."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.processes import ROOT, fetch, until

SHIPPED = ROOT / "deploy" / "prometheus"
SCRAPE = "250ms"
MINUTE = 0.4
"""Seconds that stand for a minute of the rules: a rate over five of them still has eight scrapes."""
WINDOW = "2s"


def hurried(rules: str, minute: float = MINUTE) -> str:
    """Rules whose windows last seconds, and which fire at the second look."""

    def shorter(found: re.Match[str]) -> str:
        minutes = int(found[2]) * (60 if found[3] == "h" else 1)
        return f"{found[1]}{round(minutes * minute * 1000)}ms"

    return re.sub(r"\bfor: \d+[mh]", "for: 500ms", re.sub(r"(\[|offset )(\d+)([mh])\b", shorter, rules))


@dataclass
class Prometheus:
    """`fired` holds every alert that was seen firing."""

    url: str
    process: subprocess.Popen[str]
    began: float
    fired: set[str] = field(default_factory=set)

    def firing(self) -> set[str]:
        """The alerts that are firing now."""
        found = {alert["labels"]["alertname"] for alert in self._ask("alerts")["alerts"] if alert["state"] == "firing"}
        self.fired |= found
        return found

    def until_fired(self, names: set[str], seconds: float = 30.0) -> None:
        """Raises TimeoutError, naming those that have not."""
        self._watch(lambda firing: names - self.fired, "fired", seconds)

    def until_resolved(self, names: set[str], seconds: float = 30.0) -> None:
        """Raises TimeoutError, naming those that have not."""
        self._watch(lambda firing: names & firing, "resolved", seconds)

    def _watch(self, missing: Callable[[set[str]], set[str]], what: str, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while left := missing(self.firing()):
            if time.monotonic() > ends:
                raise TimeoutError(f"not {what}: {', '.join(sorted(left))}")
            time.sleep(0.1)

    def values(self, expression: str) -> list[float]:
        """All that a query has answered since the beginning, looked at twice a second."""
        found = self._ask("query_range", query=expression, start=self.began, end=time.time(), step=0.5)["result"]
        return [float(value) for series in found for _, value in series["values"] if isfinite(float(value))]

    def latest(self, expression: str) -> list[float]:
        """What a query answers now."""
        return [float(series["value"][1]) for series in self._ask("query", query=expression)["result"]]

    def _ask(self, what: str, **parameters: Any) -> dict[str, Any]:
        status, text = fetch(f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}")
        assert status == 200, text
        answer = json.loads(text)
        return dict(answer["data"])


@contextmanager
def prometheus_process(folder: Path, port: int, minute: float = MINUTE) -> Iterator[Prometheus]:
    """Scrapes the router on `port`; `folder` is for its files, `minute` the seconds that one of the rules' minutes
    lasts."""
    for name in ("rules.yaml", "alerts.yaml"):
        (folder / name).write_text(hurried((SHIPPED / name).read_text(), minute))
    targets = [{"targets": [f"127.0.0.1:{port}"]}]
    config = {
        "global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE},
        "rule_files": ["rules.yaml", "alerts.yaml"],
        "scrape_configs": [{"job_name": "llm-router", "static_configs": targets}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        own = free.getsockname()[1]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--log.level=warn",
                f"--web.listen-address=127.0.0.1:{own}",
            ],
            cwd=folder, stdout=log, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    prometheus = Prometheus(f"http://127.0.0.1:{own}", process, time.time())
    try:
        until(lambda: _is_ready(prometheus.url), 30)
        yield prometheus
    finally:
        process.kill()
        process.wait(10)


def _is_ready(url: str) -> bool:
    try:
        return fetch(f"{url}/-/ready")[0] == 200
    except urllib.error.URLError:
        time.sleep(0.05)
        return False
