"""What the headers of an answer tell: who served it, after how many attempts, under which id."""

from __future__ import annotations

import re

import pytest

from router.core.types import Prices
from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.edge.house import Open, group, inside, remote
from tests.edge.wire import CHAT, HI, STREAM

PRICED = Prices(0.5, 0.25)
BROKEN = Behaviour(script=("503",))


@pytest.mark.parametrize("body", [HI, STREAM], ids=["whole", "stream"])
async def test_the_answer_names_model_deployment_and_attempts(house: Open, body: dict[str, object]) -> None:
    async with house(group(inside("east")), aliases={"mm": "m"}) as router:
        for model in ("m", "mm"):
            seen = await router.ask(CHAT, body | {"model": model})
            assert seen.headers["x-router-model"] == "m"
            assert seen.headers["x-router-deployment"] == "east"
            assert seen.headers["x-router-attempts"] == "1"
            assert "x-router-fallback" not in seen.headers
            assert "x-router-cost" not in seen.headers
            assert "date" in seen.headers
            assert "set-cookie" not in seen.headers


@pytest.mark.parametrize("body", [HI, STREAM], ids=["whole", "stream"])
async def test_a_fallback_is_named_and_its_attempts_counted(house: Open, body: dict[str, object]) -> None:
    first = group(inside("a", BROKEN), inside("b", BROKEN), fallbacks=("n",), num_retries=1)
    async with house(first, group(inside("c", model_name="n"), name="n")) as router:
        seen = await router.ask(CHAT, body)
        assert seen.status == 200
        assert seen.headers["x-router-model"] == "m"
        assert seen.headers["x-router-fallback"] == "n"
        assert seen.headers["x-router-deployment"] == "c"
        assert seen.headers["x-router-attempts"] == "3"


async def test_the_cost_is_told_where_it_is_known_before_the_headers(house: Open) -> None:
    async with house(group(inside(prices=PRICED, behaviour=Behaviour(output_tokens=4)))) as router:
        assert (await router.ask(CHAT, HI)).headers["x-router-cost"] == "2"  # 2 · 0.5 + 4 · 0.25
        assert "x-router-cost" not in (await router.ask(CHAT, STREAM)).headers


async def test_a_whole_answer_is_typed_and_measured(house: Open) -> None:
    async with house() as router:
        seen = await router.ask(CHAT, HI)
        assert seen.headers["content-type"] == "application/json"
        assert int(seen.headers["content-length"]) == len(seen.body)
        assert "transfer-encoding" not in seen.headers


async def test_a_streams_headers_keep_middleboxes_from_holding_it_back(house: Open) -> None:
    async with house() as router:
        seen = await router.ask(CHAT, STREAM)
        assert seen.headers["content-type"] == "text/event-stream"
        assert seen.headers["cache-control"] == "no-cache"
        assert seen.headers["x-accel-buffering"] == "no"
        assert seen.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in seen.headers


ANSWERED = {"a reply": (CHAT, HI), "a stream": (CHAT, STREAM), "an error": (CHAT, b"{"), "a page": ("/nowhere", None)}


@pytest.mark.parametrize(("path", "body"), ANSWERED.values(), ids=ANSWERED)
@pytest.mark.parametrize("given", ["my-id-1", "x" * 128, "a b/c:{}~"])
async def test_the_clients_own_id_is_kept_under_both_names(house: Open, path: str, body: object, given: str) -> None:
    async with house() as router:
        seen = await router.ask(path, body, headers=f"X-Request-ID: {given}\r\n")
        assert (seen.headers["x-request-id"], seen.headers["request-id"]) == (given, given)


@pytest.mark.parametrize(("path", "body"), ANSWERED.values(), ids=ANSWERED)
@pytest.mark.parametrize("given", [None, "", "x" * 129, "caf\u00e9", "\u0080"])
async def test_an_id_that_is_missing_or_mad_is_replaced(
    house: Open, path: str, body: object, given: str | None
) -> None:
    headers = b"" if given is None else b"x-request-id: " + given.encode() + b"\r\n"
    async with house() as router:
        ids = []
        for _ in range(2):
            seen = await router.ask(path, body, headers=headers.decode())
            assert re.fullmatch(r"req-[0-9a-f]{24}", seen.headers["x-request-id"])
            assert seen.headers["request-id"] == seen.headers["x-request-id"]
            ids.append(seen.headers["request-id"])
        assert ids[0] != ids[1]


async def test_upstream_is_told_the_same_id(house: Open) -> None:
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        await router.ask(CHAT, HI, headers="x-request-id: my-id\r\n")
        assert mock.requests[-1].headers["x-request-id"] == "my-id"
        seen = await router.ask(CHAT, HI)
        assert mock.requests[-1].headers["x-request-id"] == seen.headers["x-request-id"]


async def test_upstreams_limits_and_secrets_do_not_travel_either_way(house: Open) -> None:
    async with MockServer(Behaviour(rate_limit_headers=True)) as mock, house(group(remote("d", mock))) as router:
        seen = await router.ask(CHAT, HI, headers="cookie: a=b\r\nx-secret: c\r\nauthorization: Bearer sk-client\r\n")
        assert not [name for name in seen.headers if name.startswith("x-ratelimit")]
        sent = mock.requests[-1].headers
        assert sent["authorization"] == "Bearer sk-upstream-secret"
        assert set(sent) == {
            "host", "user-agent", "accept-encoding", "content-type", "authorization", "x-request-id", "content-length",
        }  # fmt: skip
        assert sent["accept-encoding"] == "identity"
