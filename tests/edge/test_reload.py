"""Another configuration is put in force in a running router."""

from __future__ import annotations

import asyncio

import pytest

from router.core.errors import ConfigError
from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.edge.house import Open, config_of, group, inside, remote
from tests.edge.wire import CHAT, HI, STREAM, request

pytestmark = pytest.mark.both_loops

OLD, NEW = {"name": "old", "key": "sk-old"}, {"name": "new", "key": "sk-new"}


def bearer(key: str) -> str:
    return f"authorization: Bearer {key}\r\n"


async def test_models_come_and_go(house: Open) -> None:
    async with house(group(inside())) as router:
        router.reload(group(inside("n", model_name="n"), name="n"), aliases={"alias": "n"})
        assert (await router.ask(CHAT, HI)).error()["code"] == "model_not_found"
        for name in ("n", "alias"):
            assert (await router.ask(CHAT, HI | {"model": name})).status == 200
        listed = (await router.ask("/v1/models")).json()["data"]
        assert [entry["id"] for entry in listed] == ["alias", "n"]
        deployments = (await router.ask("/router/status")).json()["deployments"]
        assert [entry["deployment"] for entry in deployments] == ["n"]
        assert (await router.ask("/router/explain", HI | {"model": "n"})).json()["group"] == "n"


async def test_keys_come_and_go_on_connections_that_stay(house: Open) -> None:
    async with house(group(inside()), keys=[OLD]) as router:
        client = await router.connect()
        assert (await client.ask(CHAT, HI, headers=bearer("sk-old"))).status == 200
        router.reload(group(inside()), keys=[NEW])
        assert (await client.ask(CHAT, HI, headers=bearer("sk-old"))).status == 401
        assert (await client.ask(CHAT, HI, headers=bearer("sk-new"))).status == 200


async def test_a_keys_limit_holds_at_once_over_what_was_used_before(house: Open) -> None:
    async with house(group(inside()), keys=[OLD | {"rpm": 3}]) as router:
        for _ in range(2):
            assert (await router.ask(CHAT, HI, headers=bearer("sk-old"))).status == 200
        router.reload(group(inside()), keys=[OLD | {"rpm": 2}])
        assert (await router.ask(CHAT, HI, headers=bearer("sk-old"))).status == 429


@pytest.mark.parametrize("body", [HI, STREAM], ids=["whole", "stream"])
async def test_what_is_under_way_ends_as_it_began(house: Open, body: dict[str, object]) -> None:
    slow = Behaviour(tokens_per_second=50, output_tokens=10)
    async with MockServer(slow) as mock, house(group(remote("d", mock)), keys=[OLD]) as router:
        client = await router.connect()
        client.writer.write(request(CHAT, body, headers=bearer("sk-old")))
        await mock.until(lambda server: server.in_flight == 1)
        router.reload(group(inside("n", model_name="n"), name="n"), keys=[NEW])
        seen = await client.receive()
        assert (seen.status, seen.complete) == (200, True)
        assert body is HI or seen.body.endswith(b"data: [DONE]\n\n")
        assert await router.in_flight() == 0


async def test_a_body_that_comes_after_the_reload_is_for_the_new_models(house: Open) -> None:
    async with house(group(inside())) as router:
        client = await router.connect()
        sent = request(CHAT, HI | {"model": "n"})
        client.writer.write(sent[:-5])
        await router.until_in_flight(1)
        router.reload(group(inside("n", model_name="n"), name="n"))
        client.writer.write(sent[-5:])
        assert (await client.receive()).status == 200


async def test_the_most_requests_at_once_and_the_drain_are_those_of_the_new_one(house: Open) -> None:
    stalled = Behaviour(script=("stall",))
    async with MockServer(stalled) as mock, house(group(remote("d", mock)), drain_seconds=60) as router:
        client = await router.connect()
        client.writer.write(request(CHAT, STREAM))
        await router.until_in_flight(1)
        router.reload(group(remote("d", mock)), max_concurrent_requests=1, drain_seconds=0.05)
        assert (await router.ask(CHAT, HI)).error()["code"] == "overloaded"
        async with asyncio.timeout(5):
            await router.stop()


async def test_what_cannot_change_is_named_and_stays(house: Open) -> None:
    async with house(group(inside())) as router:
        assert router.reload(group(inside()), max_body_bytes=10) == ("server.max_body_bytes",)
        assert (await router.ask(CHAT, HI)).status == 200


async def test_the_last_key_is_not_taken_away_from_a_router_that_others_can_reach(house: Open) -> None:
    async with house(group(inside()), keys=[OLD], host="0.0.0.0") as router:
        with pytest.raises(ConfigError, match="the router listens on 0"):
            router.app.prepare(config_of(group(inside())))
        assert (await router.ask(CHAT, HI)).status == 401
