"""The compose file, and what it provisions Prometheus and Grafana with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from router import __version__
from tests.deploy.tooling import COMPOSE, output
from tests.e2e.processes import run

FILE = COMPOSE / "docker-compose.yaml"
SERVICES: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]


def test_it_is_a_compose_file() -> None:
    output("check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE)


def test_every_image_has_a_version_and_the_routers_is_its_own() -> None:
    tags = {name: service["image"].partition(":")[2] for name, service in SERVICES.items()}
    assert tags["router"] == __version__
    assert all(tag and tag != "latest" for tag in tags.values())


def test_every_file_it_mounts_is_there() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    files = [mount for mount in mounts if mount.startswith(".")]
    assert len(files) == 5
    assert [name for name in files if not (COMPOSE / name).exists()] == []
    assert (COMPOSE / SERVICES["router"]["build"]["context"] / "Dockerfile").is_file()


def test_nothing_listens_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_takes_its_configuration_and_its_rules(tmp_path: Path) -> None:
    for mount in SERVICES["prometheus"]["volumes"]:
        source, _, target = mount.removesuffix(":ro").partition(":")
        if source.startswith("."):
            place = tmp_path / target.removeprefix("/etc/prometheus/")
            place.symlink_to((COMPOSE / source).resolve())
    said = output("promtool", "check", "config", tmp_path / "prometheus.yaml")
    assert "SUCCESS: 2 rule files found" in said
    (job,) = yaml.safe_load((COMPOSE / "prometheus.yaml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["router:4000"]}]


def test_grafana_is_told_of_prometheus_and_of_the_dashboard() -> None:
    provisioning = COMPOSE / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert "prometheus" in SERVICES
    (provider,) = yaml.safe_load((provisioning / "dashboards/llm-router.yaml").read_text())["providers"]
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    assert mounts["../grafana"] == provider["options"]["path"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (COMPOSE / "../grafana" / Path(home).name).is_file()


def test_the_router_takes_its_configuration() -> None:
    env = SERVICES["router"]["environment"]
    assert env["ROUTER__AUTH__MASTER_KEY"] == "${ROUTER_MASTER_KEY:-sk-demo}"
    env = env | {"ROUTER__SERVER__HOST": "0.0.0.0", "ROUTER__AUTH__MASTER_KEY": "sk-demo"}
    result = run("check", str(COMPOSE / "config/router.yaml"), **env)
    assert result.returncode == 0, result.stderr
    assert "a master key" in result.stdout
