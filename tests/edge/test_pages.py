"""What is read rather than inferred: models, health, metrics; and the paths and methods that are not there."""

from __future__ import annotations

import pytest

from tests.edge.house import Open, group, inside
from tests.edge.wire import CHAT, HI

INFERENCE = [CHAT, "/chat/completions", "/v1/completions", "/completions", "/v1/embeddings", "/embeddings"]
PAGES = ["/v1/models", "/models", "/v1/models/m", "/models/m", "/health", "/health/live", "/health/ready", "/metrics"]


@pytest.mark.parametrize("path", INFERENCE)
async def test_every_inference_path_is_served_with_and_without_v1(house: Open, path: str) -> None:
    async with house() as router:
        seen = await router.ask(path, {"model": "m", "messages": [{"role": "user"}], "prompt": "hi", "input": "hi"})
        assert seen.status == 200
        assert seen.headers["x-router-deployment"] == "d"


@pytest.mark.parametrize("path", [CHAT + "?api-version=2024-10-21", "http://router" + CHAT])
async def test_a_query_or_an_absolute_target_makes_no_difference(house: Open, path: str) -> None:
    async with house() as router:
        assert (await router.ask(path, HI)).status == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/", "/v2/chat/completions", CHAT + "/", "/v1/chat", "//v1/chat/completions", "/" + "x" * 5000],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_path_is_a_404(house: Open, path: str, method: str) -> None:
    async with house() as router:
        seen = await router.ask(path, b"{}" if method == "POST" else None)
        assert (seen.status, seen.error()["code"]) == (404, "not_found")
        assert len(seen.body) < 300


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", INFERENCE[:2])
async def test_an_inference_path_answers_post_only(house: Open, path: str, method: str) -> None:
    async with house() as router:
        seen = await router.ask(path, method=method)
        assert (seen.status, seen.error()["code"]) == (405, "method_not_allowed")
        assert seen.headers["allow"] == "POST"


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_answers_get_and_head_only(house: Open, path: str) -> None:
    async with house() as router:
        client = await router.connect()
        assert (await client.ask(path)).status == 200
        client.writer.write(f"HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert (await client.all_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        seen = await client.ask(path, b"{}")
        assert (seen.status, seen.error()["code"], seen.headers["allow"]) == (405, "method_not_allowed", "GET, HEAD")


async def test_a_model_is_shown_with_its_true_context_window(house: Open) -> None:
    groups = [
        group(inside("a", context_window=8192), inside("b", context_window=128_000), name="m"),
        group(inside("c"), name="vendor/n"),
    ]
    async with house(*groups, aliases={"mm": "m"}) as router:
        listed = (await router.ask("/v1/models")).json()["data"]
        assert [item["id"] for item in listed] == ["m", "mm", "vendor/n"]
        for item in listed:
            assert set(item) - {"context_window"} == {"id", "object", "created", "owned_by"}
            assert (await router.ask("/v1/models/" + item["id"])).json() == item
        assert [item.get("context_window") for item in listed] == [128_000, 128_000, None]
        assert (await router.ask("/v1/models/vendor%2Fn")).json()["id"] == "vendor/n"


async def test_health_is_plain_json(house: Open) -> None:
    async with house() as router:
        for path, status in (("/health", "ok"), ("/health/live", "ok"), ("/health/ready", "ready")):
            assert (await router.ask(path)).json() == {"status": status}


async def test_metrics_are_prometheus_text_and_count_what_happened(house: Open) -> None:
    async with house(group(inside("east"))) as router:
        await router.ask(CHAT, HI)
        await router.ask(CHAT, HI | {"model": "no-such-model"})
        seen = await router.ask("/metrics")
        assert seen.headers["content-type"].startswith("text/plain; version=0.0.4")
        text = seen.body.decode()
        for line in (
            'router_requests_total{kind="chat",model="m",outcome="ok",status="200"} 1.0',
            'router_requests_total{kind="chat",model="other",outcome="error",status="404"} 1.0',
            'router_attempts_total{deployment="east",model="m",outcome="ok"} 1.0',
            'router_deployment_in_flight{deployment="east",model="m"} 0.0',
            "router_in_flight_requests 0.0",
        ):
            assert line in text.splitlines()
        assert "no-such-model" not in text
