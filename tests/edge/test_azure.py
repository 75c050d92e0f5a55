"""The official client for Azure at the router's Azure-shaped paths, and Azure as an upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import orjson
import pytest
from aiohttp import web

from router.core.types import Deployment
from router.dialects.azure import AzureOptions
from router.dialects.mock.behaviour import Behaviour
from tests.edge.house import House, Open, group, inside
from tests.edge.wire import HI

SAYS = Behaviour(reply="hello from azure")
PATH = "/openai/deployments/m/chat/completions?api-version=2024-10-21"
KEYS = [{"name": "team", "key": "sk-team"}]


def client(router: House, **more: Any) -> openai.AsyncAzureOpenAI:
    given: dict[str, Any] = {"api_key": "sk-team"} | more
    return openai.AsyncAzureOpenAI(
        azure_endpoint=f"http://127.0.0.1:{router.port}", api_version="2024-10-21", max_retries=0, **given
    )


async def test_the_azure_client_chats_streams_completes_and_embeds(house: Open) -> None:
    async with house(group(inside(behaviour=SAYS)), keys=KEYS) as router, client(router) as azure:
        reply = await azure.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        assert reply.choices[0].message.content == "hello from azure"
        stream = await azure.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        said = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(said) == "hello from azure"
        text = await azure.completions.create(model="m", prompt="hi")
        assert text.choices[0].text
        vectors = await azure.embeddings.create(model="m", input="hi")
        assert vectors.data[0].embedding
        assert [model.id async for model in azure.models.list()] == ["m"]


async def test_a_token_in_place_of_the_key_is_a_bearer_like_any_other(house: Open) -> None:
    async with (
        house(group(inside(behaviour=SAYS)), keys=KEYS) as router,
        client(router, api_key=None, azure_ad_token="sk-team") as azure,
    ):
        reply = await azure.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        assert reply.choices[0].message.content == "hello from azure"


async def test_the_azure_client_raises_the_right_exceptions(house: Open) -> None:
    async with house(group(inside()), keys=KEYS) as router:
        async with client(router, api_key="sk-wrong") as azure:
            with pytest.raises(openai.AuthenticationError):
                await azure.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        async with client(router) as azure:
            with pytest.raises(openai.NotFoundError):
                await azure.chat.completions.create(model="none", messages=[{"role": "user", "content": "hi"}])


@pytest.mark.parametrize("body", [{"messages": HI["messages"]}, HI, HI | {"model": "another"}])
async def test_the_model_in_the_path_is_the_one(house: Open, body: dict[str, Any]) -> None:
    async with house(group(inside(behaviour=SAYS))) as router:
        seen = await router.ask(PATH, body)
        assert (seen.status, seen.headers["x-router-model"]) == (200, "m")


async def test_a_model_with_a_slash_is_quoted_in_the_path(house: Open) -> None:
    async with house(group(inside(model_name="a/b"), name="a/b")) as router:
        assert (await router.ask("/openai/deployments/a%2Fb/chat/completions", HI)).status == 200
        assert (await router.ask("/openai/deployments/a/b/chat/completions", HI)).status == 200


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/openai/deployments/m/nothing", "POST", 404),
        ("/openai/deployments//chat/completions", "POST", 404),
        ("/openai/deployments/m/chat/completions", "GET", 405),
        ("/openai/v1/chat/completions", "POST", 200),
    ],
)
async def test_other_paths_are_what_they_are(house: Open, path: str, method: str, status: int) -> None:
    async with house() as router:
        assert (await router.ask(path, HI if method == "POST" else None, method=method)).status == status


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b""])
async def test_a_body_that_is_none_is_a_400(house: Open, body: bytes) -> None:
    async with house() as router:
        assert (await router.ask(PATH, body)).status == 400


@asynccontextmanager
async def azure_upstream(status: int = 200, **answer: Any) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A server that keeps what it was asked, and gives one answer to everything."""
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        seen.append(request)
        return web.json_response(answer, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


def azure(base: str, **more: Any) -> Deployment:
    return Deployment("east", "m", "azure", "gpt-east", api_base=base, api_keys=("k-east",),
                      options=AzureOptions("2024-10-21"), **more)  # fmt: skip


USAGE = {"prompt_tokens": 1, "completion_tokens": 1}
REPLY: dict[str, Any] = {"choices": [{"message": {"content": "hi"}}], "usage": USAGE}


async def test_an_azure_deployment_is_asked_in_azures_way(house: Open) -> None:
    async with azure_upstream(**REPLY) as (base, seen), house(group(azure(base))) as router:
        assert (await router.ask("/v1/chat/completions", HI)).status == 200
        assert seen[0].path_qs == "/openai/deployments/gpt-east/chat/completions?api-version=2024-10-21"
        assert seen[0].headers["api-key"] == "k-east"


async def test_deployment_id_names_another_deployment_there_and_never_leaks(house: Open) -> None:
    async with azure_upstream(**REPLY) as (base, seen), house(group(azure(base))) as router:
        assert (await router.ask("/v1/chat/completions", HI | {"deployment_id": "gpt-mine"})).status == 200
        assert seen[0].path == "/openai/deployments/gpt-mine/chat/completions"
        sent = orjson.loads(await seen[0].read())
        assert sent["model"] == "gpt-mine"
        assert "deployment_id" not in sent


async def test_a_deployment_id_that_does_not_exist_does_not_hurt_the_deployment(house: Open) -> None:
    gone: dict[str, Any] = {"error": {"code": "DeploymentNotFound", "message": "There is none."}}
    async with azure_upstream(404, **gone) as (base, _), house(group(azure(base))) as router:
        for _ in range(5):
            assert (await router.ask("/v1/chat/completions", HI | {"deployment_id": "gone"})).status == 502
        told = (await router.ask("/router/status")).json()["deployments"][0]
        assert told["breaker"] == "closed"
        assert await router.metric('router_cooldowns_total{deployment="east",reason="not_found"}') == 0


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a b", "a\r\nb", ".x", 5])
async def test_a_deployment_id_that_is_no_name_is_refused(house: Open, name: object) -> None:
    async with azure_upstream(**REPLY) as (base, seen), house(group(azure(base))) as router:
        refused = await router.ask("/v1/chat/completions", HI | {"deployment_id": name})
        assert (refused.status, refused.error()["param"]) == (400, "deployment_id")
        assert not seen


async def test_a_deployment_id_without_azure_is_refused(house: Open) -> None:
    async with house() as router:
        refused = await router.ask("/v1/chat/completions", HI | {"deployment_id": "x"})
        assert (refused.status, refused.error()["param"]) == (400, "deployment_id")


async def test_azures_content_filter_is_passed_on_or_answered_by_the_fallback(house: Open) -> None:
    filtered: dict[str, Any] = {"error": {"code": "content_filter", "message": "The prompt was filtered.",
                          "param": "prompt", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}  # fmt: skip
    async with azure_upstream(400, **filtered) as (base, _):
        async with house(group(azure(base))) as router:
            seen = await router.ask("/v1/chat/completions", HI)
            assert (seen.status, seen.json()) == (400, filtered)
        async with house(
            group(azure(base), content_policy_fallbacks=("n",)), group(inside(model_name="n"), name="n")
        ) as router:
            seen = await router.ask("/v1/chat/completions", HI)
            assert (seen.status, seen.headers["x-router-fallback"]) == (200, "n")
