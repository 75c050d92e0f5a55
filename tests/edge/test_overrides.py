"""What a client may set of a deployment, and what never follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.core.grants import OVERRIDABLE
from router.core.types import Prices
from router.dialects.mock.behaviour import Behaviour
from router.edge.parameters.table import Owner, names_of
from router.mock.server import MockServer
from tests.edge.house import House, Open, group, inside, remote
from tests.edge.wire import CHAT, HI, Seen

GOOD = {"provider": "openai", "api_base": "http://good.example"}
VALUES: dict[str, Any] = {
    "api_base": "http://good.example/v1", "api_key": "sk-mine", "api_version": "2024-10-21",
    "model_list": [{"provider": "openai", "api_base": "http://good.example/v1"}], "headers": {"x-a": "1"},
    "extra_headers": {"x-b": "2"}, "input_cost_per_token": 1.0, "output_cost_per_token": 2.0,
}  # fmt: skip


def keys(*allow: str, hosts: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [{"name": "k", "key": "sk-k", "allow": list(allow), "allowed_hosts": list(hosts)}]


async def ask(router: House, **more: Any) -> Seen:
    return await router.ask(CHAT, HI | more, headers="authorization: Bearer sk-k\r\n")


def test_the_permissions_are_the_parameters_that_need_one() -> None:
    assert names_of(Owner.OVERRIDE) == OVERRIDABLE == set(VALUES)


@pytest.mark.parametrize("name", sorted(VALUES))
async def test_without_permission_a_403_names_the_parameter(house: Open, name: str) -> None:
    others = [other for other in VALUES if other != name]
    async with house(group(inside()), keys=keys(*others, hosts=("good.example",))) as router:
        seen = await ask(router, **{name: VALUES[name]})
        error = seen.error()
        assert (seen.status, error["code"], error["param"]) == (403, "override_not_allowed", name)
        assert (await ask(router, **{name: None})).status == 200, "null is as good as absent"


async def test_without_keys_nobody_may_override_anything(house: Open) -> None:
    async with house(group(inside())) as router:
        assert (await router.ask(CHAT, HI | {"api_key": "k"})).status == 403


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"api_key": 5}, "api_key"),
        ({"api_key": ""}, "api_key"),
        ({"api_key": "a\r\nx-evil: 1"}, "api_key"),
        ({"api_version": "1/../.."}, "api_version"),
        ({"headers": {"x-a": "1\r\nx-evil: 1"}}, "headers"),
        ({"headers": {"x-a\r\nx-evil": "1"}}, "headers"),
        ({"headers": {"x-a": 1}}, "headers"),
        ({"headers": ["x-a"]}, "headers"),
        ({"extra_headers": {"Authorization": "Bearer x"}}, "extra_headers"),
        ({"extra_headers": {"host": "x"}}, "extra_headers"),
        ({"extra_headers": {"Content-Length": "0"}}, "extra_headers"),
        ({"extra_headers": {"Transfer-Encoding": "chunked"}}, "extra_headers"),
        ({"extra_headers": {"Connection": "upgrade"}}, "extra_headers"),
        ({"input_cost_per_token": -1}, "input_cost_per_token"),
        ({"output_cost_per_token": "1"}, "output_cost_per_token"),
        ({"output_cost_per_token": True}, "output_cost_per_token"),
        ({"api_base": 7}, "api_base"),
        ({"api_base": "http://good.example/v1", "model_list": [{}]}, "api_base"),
        ({"model_list": {}}, "model_list"),
        ({"model_list": []}, "model_list"),
        ({"model_list": ["x"]}, "model_list"),
        ({"model_list": [{"provider": "openai"}]}, "model_list"),
        ({"model_list": [{"provider": "mock"}]}, "model_list"),
        ({"model_list": [{"provider": "bedrock", "api_base": "http://good.example"}]}, "model_list"),
        ({"model_list": [GOOD | {"tls": {"ca_file": "/x"}}]}, "model_list"),
        ({"model_list": [{"provider": "azure", "api_base": "http://good.example", "entra": {}}]}, "model_list"),
        ({"model_list": [{"provider": "openai", "api_base": "http://good.example", "rpm": "x"}]}, "model_list"),
        ({"model_list": [GOOD | {"model_name": "other"}]}, "model_list"),
        ({"model_list": [{"provider": "openai", "api_base": "http://good.example"}] * 17}, "model_list"),
    ],
)  # fmt: skip
async def test_a_wrong_value_is_a_400_naming_the_parameter(house: Open, given: dict[str, Any], param: str) -> None:
    async with house(group(inside()), keys=keys(*VALUES, hosts=("good.example",))) as router:
        seen = await ask(router, **given)
        assert (seen.status, seen.error()["param"]) == (400, param)


@pytest.fixture
async def upstream() -> Any:
    server = MockServer(Behaviour(output_tokens=2, script=()))
    await server.start()
    yield server
    await server.stop()


def sent(server: MockServer) -> dict[str, str]:
    return dict(server.requests[-1].headers)


async def test_headers_are_merged_the_clients_over_the_deployments_and_the_extra_ones_over_both(
    house: Open, upstream: MockServer
) -> None:
    own = remote("d", upstream, headers={"X-A": "deployment", "X-D": "deployment"})
    async with house(group(own), keys=keys(*VALUES)) as router:
        seen = await ask(router, headers={"X-a": "mine", "x-b": "mine"}, extra_headers={"X-B": "extra"})
        assert seen.status == 200
        got = sent(upstream)
        assert (got["x-a"], got["x-b"], got["x-d"]) == ("mine", "extra", "deployment")
        assert b"headers" not in upstream.requests[-1].body, "none of it leaks into the body"
        assert (await ask(router)).status == 200
        assert "x-b" not in sent(upstream), "and it is for that request only"


async def test_a_key_replaces_the_deployments_for_this_call_only(house: Open, upstream: MockServer) -> None:
    async with house(group(remote("d", upstream)), keys=keys("api_key")) as router:
        await ask(router, api_key="sk-mine")
        assert sent(upstream)["authorization"] == "Bearer sk-mine"
        await ask(router)
        assert sent(upstream)["authorization"] == "Bearer sk-upstream-secret"


async def test_what_a_client_supplies_never_changes_a_deployments_health(house: Open) -> None:
    broken = MockServer(Behaviour(script=("401", "429", "503", "reset")))
    await broken.start()
    try:
        async with house(group(remote("d", broken), num_retries=0), keys=keys("api_key", "headers")) as router:
            for _ in range(6):
                assert (await ask(router, api_key="sk-bad")).status >= 400
                assert (await ask(router, headers={"x-a": "1"})).status >= 400
            (told,) = (await router.ask("/router/status", headers="authorization: Bearer sk-k\r\n")).json()[
                "deployments"
            ]
            assert told["breaker"] == "closed"
            for reason in ("auth", "rate_limited", "server_error", "disconnected"):
                assert await router.metric(f'router_cooldowns_total{{deployment="d",reason="{reason}"}}') == 0
    finally:
        await broken.stop()


async def test_a_fallback_is_served_as_it_is_configured(house: Open, upstream: MockServer) -> None:
    failing = inside("f", Behaviour(script=("503",)))
    groups = [
        group(failing, num_retries=0, fallbacks=("n",)),
        group(replace(remote("n", upstream), model_name="n"), name="n"),
    ]
    async with house(*groups, keys=keys("api_key", "extra_headers")) as router:
        seen = await ask(router, api_key="sk-mine", extra_headers={"x-secret": "mine"})
        assert seen.headers["x-router-fallback"] == "n"
        got = sent(upstream)
        assert got["authorization"] == "Bearer sk-upstream-secret"
        assert "x-secret" not in got


async def test_a_client_may_price_its_call(house: Open) -> None:
    place = inside("d", Behaviour(output_tokens=2), prices=Prices(0.0, 100.0))
    async with house(group(place), keys=keys("input_cost_per_token", "output_cost_per_token")) as router:
        assert float((await ask(router)).headers["x-router-cost"]) == 200.0
        assert float((await ask(router, output_cost_per_token=1)).headers["x-router-cost"]) == 2.0
        assert (await ask(router, output_cost_per_token=0)).headers["x-router-cost"] == "0"
