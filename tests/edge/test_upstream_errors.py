"""What clients are told where deployments fail: status, code, and whether to try again."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.dialects.mock.behaviour import Behaviour
from router.dialects.mock.errors import _BODIES
from router.mock.server import MockServer
from tests.edge.house import Open, group, inside, remote
from tests.edge.upstreams import refusing_port
from tests.edge.wire import CHAT, HI, STREAM, connect

BODIES = pytest.mark.parametrize("body", [HI, STREAM], ids=["whole", "stream"])


def failing(step: str, **more: Any) -> Behaviour:
    return Behaviour(script=(step,), **more)


@BODIES
@pytest.mark.parametrize("status", [400, 409, 413, 415, 418, 422, 451])
async def test_upstreams_own_4xx_is_passed_through(house: Open, body: dict[str, Any], status: int) -> None:
    async with (
        MockServer(failing(str(status))) as mock,
        house(group(remote("d", mock), inside("other", weight=0.001))) as router,
    ):
        direct = await connect(mock.port)
        theirs = await direct.ask(CHAT, body | {"model": "up-model"})
        await direct.close()
        seen = await router.ask(CHAT, body)
        assert (seen.status, seen.body) == (status, theirs.body)
        assert seen.headers["x-should-retry"] == "false"
        assert seen.headers["content-type"] == "application/json"
        assert mock.started == 2  # once asked directly, once by the router


@BODIES
@pytest.mark.parametrize("step", ["400-context", "400-policy", "400-filter"])
async def test_a_refusal_of_the_prompt_keeps_upstreams_words_and_code(
    house: Open, body: dict[str, Any], step: str
) -> None:
    async with house(group(inside("d", failing(step)))) as router:
        seen = await router.ask(CHAT, body)
        assert seen.status == 400
        assert seen.error() == orjson.loads(_BODIES[step].json())["error"]


@BODIES
@pytest.mark.parametrize("step", ["401", "403"])
async def test_trouble_with_the_routers_own_key_is_never_the_clients_401(
    house: Open, body: dict[str, Any], step: str
) -> None:
    async with MockServer(failing(step)) as mock, house(group(remote("d", mock))) as router:
        seen = await router.ask(CHAT, body)
        assert (seen.status, seen.error()["code"]) == (502, "upstream_auth_error")
        assert seen.headers["x-should-retry"] == "false"
        assert "www-authenticate" not in seen.headers
        assert seen.error()["message"] == f"m: 1 attempt: d {step}"
    async with MockServer(failing(step)) as mock, house(group(remote("d", mock), inside("other"))) as router:
        for _ in range(3):
            assert (await router.ask(CHAT, body)).headers["x-router-deployment"] == "other"


@BODIES
async def test_a_429_with_a_known_wait_tells_it(house: Open, body: dict[str, Any]) -> None:
    async with house(group(inside("d", failing("429", retry_after=7.5)), num_retries=0)) as router:
        for _ in range(2):  # the second finds the deployment resting
            seen = await router.ask(CHAT, body)
            assert (seen.status, seen.error()["code"], seen.error()["type"]) == (
                429, "rate_limit_exceeded", "rate_limit_error",
            )  # fmt: skip
            assert seen.headers["retry-after"] == "8"
            assert 7000 < int(seen.headers["retry-after-ms"]) <= 7500
            assert "x-should-retry" not in seen.headers


async def test_a_429_without_one_is_not_to_be_tried_again_until_the_router_knows_when(house: Open) -> None:
    async with house(group(inside("d", failing("429-bare")), num_retries=0)) as router:
        seen = await router.ask(CHAT, HI)
        assert (seen.status, seen.headers["x-should-retry"]) == (429, "false")
        assert "retry-after" not in seen.headers
        seen = await router.ask(CHAT, HI)
        assert seen.status == 429
        assert 4000 < int(seen.headers["retry-after-ms"]) <= 5000


async def test_of_several_that_rest_the_first_to_be_free_is_told(house: Open) -> None:
    deployments = [inside(f"d{wait}", failing("429", retry_after=wait)) for wait in (60, 20, 40)]
    async with house(group(*deployments)) as router:
        assert (await router.ask(CHAT, HI)).status == 429
        seen = await router.ask(CHAT, HI)
        assert (seen.status, seen.headers["retry-after"]) == (429, "20")


async def test_every_candidate_down_is_a_503_that_says_when_to_come_back(house: Open) -> None:
    async with house(group(refusing_port(), num_retries=0)) as router:
        statuses = [(await router.ask(CHAT, HI)).status for _ in range(3)]
        assert statuses == [502, 502, 502]
        seen = await router.ask(CHAT, HI)
        assert (seen.status, seen.error()["code"]) == (503, "no_deployment_available")
        assert 0 < int(seen.headers["retry-after"]) <= 5
        assert 0 < int(seen.headers["retry-after-ms"]) <= 5000


@BODIES
@pytest.mark.parametrize(
    ("step", "code", "told"),
    [
        ("500", "upstream_error", "500"),
        ("503", "upstream_error", "503"),
        ("529", "upstream_error", "529"),
        ("408", "upstream_error", "408"),
        ("404", "upstream_error", "404"),
        ("reset", "upstream_unreachable", "closed before a response"),
        ("garbage", "upstream_unreachable", "malformed response"),
        ("error", "upstream_error", "sent an error with status 200"),
    ],
)
async def test_a_deployment_that_fails_for_good_is_a_502_that_tells_why(
    house: Open, body: dict[str, Any], step: str, code: str, told: str
) -> None:
    async with MockServer(failing(step)) as mock, house(group(remote("east", mock), num_retries=0)) as router:
        seen = await router.ask(CHAT, body)
        error = seen.error()
        assert (seen.status, error["code"], error["type"]) == (502, code, "api_error")
        assert error["message"].startswith("m: 1 attempt: east ")
        assert told in error["message"]
        assert "127.0.0.1" not in error["message"]
        assert str(mock.port) not in error["message"]
        assert seen.headers["x-should-retry"] == "false"


async def test_where_nobody_listens_it_is_a_502(house: Open) -> None:
    async with house(group(refusing_port(), num_retries=0)) as router:
        seen = await router.ask(CHAT, HI)
        assert (seen.status, seen.error()["code"]) == (502, "upstream_unreachable")
        assert "127.0.0.1" not in seen.error()["message"]


async def test_every_attempt_is_told(house: Open) -> None:
    deployments = [inside("a", failing("503")), inside("b", failing("500")), inside("c", failing("reset"))]
    async with house(group(*deployments, strategy="round-robin")) as router:
        message = (await router.ask(CHAT, HI)).error()["message"]
        assert message.startswith("m: 3 attempts: ")
        assert "a 503" in message
        assert "b 500" in message


@BODIES
@pytest.mark.parametrize("own", [{"timeout": 0.05}, {}], ids=["parameter", "header"])
async def test_a_deadline_that_has_passed_is_a_504(house: Open, body: dict[str, Any], own: dict[str, Any]) -> None:
    headers = "" if own else "x-router-timeout: 0.05\r\n"
    async with MockServer(failing("hang")) as mock, house(group(remote("d", mock))) as router:
        seen = await router.ask(CHAT, body | own, headers=headers)
        assert (seen.status, seen.error()["code"], seen.error()["type"]) == (504, "timeout", "timeout_error")
        assert seen.headers["x-should-retry"] == "false"
        await mock.until(lambda server: server.cancelled == 1)
        assert await router.metric('router_deployment_breaker_state{deployment="d",model="m"}') == 0


async def test_the_configured_limits_are_504s_too(house: Open) -> None:
    for limit in ("timeout", "attempt_timeout", "first_token_timeout"):
        policy: dict[str, Any] = {"num_retries": 0, limit: 0.05}
        async with MockServer(failing("hang")) as mock, house(group(remote("d", mock), **policy)) as router:
            seen = await router.ask(CHAT, STREAM)
            assert (seen.status, seen.error()["code"]) == (504, "timeout")


async def test_a_client_cannot_ask_for_more_time_than_is_configured(house: Open) -> None:
    async with MockServer(failing("hang")) as mock, house(group(remote("d", mock), timeout=0.05)) as router:
        assert (await router.ask(CHAT, HI | {"timeout": 100})).status == 504


async def test_a_model_that_does_not_serve_this_kind_is_a_400(house: Open) -> None:
    async with house(group(inside(mode="embedding"))) as router:
        seen = await router.ask(CHAT, HI)
        assert (seen.status, seen.error()["code"], seen.error()["param"]) == (400, "unsupported_operation", "model")
        assert (await router.ask("/v1/embeddings", {"model": "m", "input": "hi"})).status == 200
