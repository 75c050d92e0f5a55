"""`/router/explain` and `/router/status` over HTTP, and the verb `explain`: what they show, and to whom."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from router.cli import cli
from router.core.strategies import STRATEGIES
from router.core.types import CooldownPolicy, HedgingPolicy, Prices
from router.dialects.mock.behaviour import Behaviour
from router.edge.explain_text import text_of
from tests.edge.house import Open, group, inside
from tests.edge.wire import CHAT, HI

EXPLAIN, STATUS = "/router/explain", "/router/status"
SECRET = "sk-upstream-secret"
KEYS = [{"name": "team", "key": "sk-team", "models": ["m"]}, {"name": "other", "key": "sk-other", "models": ["n-*"]}]
TEAM, OTHER, MASTER = (f"authorization: Bearer {key}\r\n" for key in ("sk-team", "sk-other", "sk-master"))


def safely(seen: Any) -> Any:
    assert seen.status == 200, seen.body
    assert SECRET.encode() not in seen.body
    assert b"http" not in seen.body
    return seen.json()


@pytest.mark.parametrize("path", [EXPLAIN, "/v1" + EXPLAIN])
async def test_explain_tells_the_plan_and_sends_nothing(house: Open, path: str) -> None:
    served = group(
        inside("east", prices=Prices(1e-6, 4e-6), weight=3.0),
        inside("west", enabled=False),
        strategy="weighted",
        fallbacks=("n",),
    )
    async with house(served, group(inside("n1", model_name="n"), name="n"), aliases={"mm": "m"}) as router:
        told = safely(await router.ask(path, HI | {"model": "mm", "max_tokens": 100, "stream": True}))
        assert (told["model"], told["group"], told["alias"], told["stream"]) == ("mm", "m", True, True)
        assert told["decision"] == {"action": "try", "group": "m", "fallback": None, "error": None}
        assert told["estimate"]["max_output_tokens"] == told["estimate"]["output_tokens"] == 100
        assert told["estimate"]["cost"] == pytest.approx(told["estimate"]["prompt_tokens"] * 1e-6 + 100 * 4e-6)
        assert told["fallbacks"]["general"] == ["n"]
        east, west = told["groups"]["m"]["candidates"]
        assert (east["deployment"], east["probability"], east["rejected"]) == ("east", 1.0, None)
        assert east["inputs"]["weight"] == 3.0
        assert (west["deployment"], west["probability"], west["rejected"]) == ("west", 0.0, "disabled")
        assert await router.metric('router_attempts_total{deployment="east",model="m",outcome="ok"}') == 0


@pytest.mark.parametrize(
    ("body", "query", "kind"),
    [
        ({"messages": [{"role": "user"}]}, "", "chat"),
        ({"prompt": "x"}, "", "completion"),
        ({"input": "x"}, "", "embedding"),
        ({"input": "x", "prompt": "x"}, "?kind=embedding", "embedding"),
    ],
)
async def test_the_kind_is_seen_from_the_body(house: Open, body: dict[str, Any], query: str, kind: str) -> None:
    async with house() as router:
        assert safely(await router.ask(EXPLAIN + query, {"model": "m"} | body))["kind"] == kind


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_request_error"),
        ({"model": "m"}, 400, "invalid_request_error"),
        (HI | {"model": "nope"}, 404, "model_not_found"),
        (HI | {"temperature": "hot"}, 400, "invalid_request_error"),
        (HI | {"fallbacks": ["nope"]}, 404, "model_not_found"),
    ],
)
async def test_what_would_be_refused_at_the_door_is_refused_here(
    house: Open, body: Any, status: int, code: str
) -> None:
    async with house() as router:
        seen = await router.ask(EXPLAIN, body)
        assert (seen.status, seen.error()["code"]) == (status, code)


async def test_explain_is_posted_and_status_is_got(house: Open) -> None:
    async with house() as router:
        for path, method, allowed in ((EXPLAIN, "GET", "POST"), (STATUS, "POST", "GET, HEAD")):
            seen = await router.ask(path, b"{}" if method == "POST" else None, method=method)
            assert (seen.status, seen.headers["allow"]) == (405, allowed)


async def test_a_refusal_is_explained_with_its_wait(house: Open) -> None:
    failing = inside("d", Behaviour(script=("429",), retry_after=30.0))
    async with house(group(failing, num_retries=0)) as router:
        assert (await router.ask(CHAT, HI)).status == 429
        decision = safely(await router.ask(EXPLAIN, HI))["decision"]
        assert (decision["action"], decision["error"]["status"]) == ("refuse", 429)
        assert 25 < decision["error"]["retry_after"] <= 30


async def test_a_key_explains_and_sees_its_own_models_only(house: Open) -> None:
    groups = [group(inside("m1")), group(inside("n1", model_name="n-1"), name="n-1")]
    async with house(*groups, keys=KEYS, master_key="sk-master") as router:
        assert (await router.ask(EXPLAIN, HI)).status == 401
        assert (await router.ask(STATUS)).status == 401
        assert (await router.ask(EXPLAIN, HI, headers=TEAM)).status == 200
        assert (await router.ask(EXPLAIN, HI, headers=OTHER)).status == 403
        assert (await router.ask(EXPLAIN, HI, headers=MASTER)).status == 200
        shown = {
            who: [one["deployment"] for one in safely(await router.ask(STATUS, headers=who))["deployments"]]
            for who in (TEAM, OTHER, MASTER)
        }
        assert shown == {TEAM: ["m1"], OTHER: ["n1"], MASTER: ["m1", "n1"]}


async def test_a_key_for_an_alias_or_for_part_of_a_wildcard_sees_what_serves_it(house: Open) -> None:
    wildcard = group(inside("w", model="*", model_name="open/*"), name="open/*")
    keys = [
        {"name": "alias", "key": "sk-alias", "models": ["mm"]},
        {"name": "part", "key": "sk-part", "models": ["open/one"]},
    ]
    async with house(group(inside("m1")), aliases={"mm": "m"}, wildcards=[wildcard], keys=keys) as router:
        for key, deployment in (("sk-alias", "m1"), ("sk-part", "w")):
            told = safely(await router.ask(STATUS, headers=f"authorization: Bearer {key}\r\n"))
            assert [one["deployment"] for one in told["deployments"]] == [deployment]


async def test_status_shows_the_live_picture(house: Open) -> None:
    served = group(
        inside("good", rpm=10),
        inside("limited", Behaviour(script=("429",), retry_after=30.0), api_keys=(SECRET, SECRET + "2")),
        strategy="round-robin",
        hedging=HedgingPolicy(),
    )
    async with house(served) as router:
        for _ in range(4):
            assert (await router.ask(CHAT, HI)).status == 200
        told = safely(await router.ask(STATUS))
        assert (told["in_flight"], told["draining"]) == (0, False)
        (model,) = told["models"]
        assert (model["model"], model["strategy"]) == ("m", "round-robin")
        assert model["hedging"] == {"after": None, "affords": False}
        budget = model["retry_budget"]
        assert budget["requests"] == 4
        assert budget["left"] == pytest.approx(30.8 - budget["retries"])
        good, limited = told["deployments"]
        assert (good["model"], good["deployment"], good["breaker"], good["in_flight"]) == ("m", "good", "closed", 0)
        assert 0.0 < good["headroom"] < 1.0
        assert good["latency"]["per_output_token"] > 0.0
        assert limited["headroom"] is None
        cooldowns = [key["cooldown"] for key in limited["keys"]]
        assert max(cooldowns) == pytest.approx(30.0, abs=5.0)
        assert [key["position"] for key in limited["keys"]] == [0, 1]
        assert not any(key["trial"] for key in limited["keys"])


async def test_status_shows_a_key_on_trial(house: Open) -> None:
    limited = inside("limited", Behaviour(script=("429", "hang"), retry_after=0.1), api_keys=(SECRET,))
    async with house(group(limited)) as router:
        trying = asyncio.create_task(router.ask(CHAT, HI))
        shown = False
        async with asyncio.timeout(10):
            while not shown:
                await asyncio.sleep(0.01)
                (told,) = safely(await router.ask(STATUS))["deployments"]
                (key,) = told["keys"]
                shown = key["trial"]
        assert (key["cooldown"] > 0.0, told["in_flight"]) == (True, 1)
        trying.cancel()
        await asyncio.gather(trying, return_exceptions=True)


async def test_explain_shows_when_a_stream_is_hedged_and_to_whom(house: Open) -> None:
    async with house(group(inside("east"), inside("west"), hedging=HedgingPolicy())) as router:
        for _ in range(60):
            assert (await router.ask(CHAT, HI | {"stream": True})).status == 200
        whole = safely(await router.ask(EXPLAIN, HI))["groups"]["m"]
        assert (whole["hedging"], whole["candidates"][0]["copy_probability"]) == (None, 0.0)
        told = safely(await router.ask(EXPLAIN, HI | {"stream": True}))
        hedging = told["groups"]["m"]["hedging"]
        assert hedging["after"] > 0.0
        assert hedging["copies_saved"] > 0.0
        assert sum(each["copy_probability"] for each in told["groups"]["m"]["candidates"]) == pytest.approx(1.0)
        text = text_of(told)
        assert "s without a token; " in text
        assert ", copy " in text


async def test_explain_shows_what_is_left_of_the_retry_budget(house: Open) -> None:
    failing = group(inside("a", Behaviour(script=("503",))), num_retries=0)
    async with house(failing) as router:
        for _ in range(5):
            await router.ask(CHAT, HI)
        told = safely(await router.ask(EXPLAIN, HI))["groups"]["m"]["retry_budget"]
        assert told == {"requests": 5, "retries": 0, "left": pytest.approx(31.0)}


async def test_status_shows_an_open_breaker(house: Open) -> None:
    failing = inside("bad", Behaviour(script=("reset",)))
    async with house(
        group(inside("good"), failing, cooldown=CooldownPolicy(allowed_fails=1), strategy="round-robin")
    ) as router:
        for _ in range(8):
            await router.ask(CHAT, HI)
        bad = safely(await router.ask(STATUS))["deployments"][1]
        assert bad["breaker"] == "open"
        assert 0.0 < bad["cooldown"] <= 5.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "router.yaml"
    deployments = [
        {"model_name": "gpt-4o", "id": name, "provider": "openai", "api_base": f"http://{name}.test", "api_key": SECRET,
         "weight": weight, "input_cost_per_token": 1e-6, "output_cost_per_token": 4e-6}
        for name, weight in (("east", 3), ("west", 1))
    ]  # fmt: skip
    deployments.append({"model_name": "spare", "id": "spare-1", "provider": "mock"})
    routing = {"strategy": "weighted", "default_fallbacks": ["spare"]}
    path.write_text(json.dumps({"model_list": deployments, "routing": routing}))
    return path


def verb(config: Path, *arguments: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(cli, ["explain", "--config", str(config), *arguments], input=stdin)


def test_the_verb_explains_without_a_router(config: Path) -> None:
    result = verb(config, "--model", "gpt-4o")
    assert result.exit_code == 0
    assert "decision   goes to gpt-4o" in result.stdout
    assert "fallbacks  general: spare" in result.stdout
    assert "gpt-4o, by weighted, 30 retries paid for" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("  ")]
    assert [(row[0], row[3]) for row in rows] == [("east", "75.0%"), ("west", "25.0%"), ("spare-1", "100.0%")]
    assert SECRET not in result.output


def test_the_verb_takes_a_body_and_prints_json(config: Path, tmp_path: Path) -> None:
    body = tmp_path / "f.json"
    body.write_text(json.dumps({"model": "gpt-4o", "prompt": "x" * 400, "max_tokens": 7, "stream": True}))
    told = json.loads(verb(config, "--body", str(body), "--json").stdout)
    assert (told["kind"], told["stream"], told["estimate"]["max_output_tokens"]) == ("completion", True, 7)
    assert told["estimate"]["prompt_tokens"] > 100
    other = json.loads(verb(config, "--body", "-", "--model", "spare", "--json", stdin=body.read_text()).stdout)
    assert other["group"] == "spare"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--model", "gpt-5"], 2, "the model `gpt-5` is not served here"),
        ([], 2, "`model` is required"),
        (["--model", "spare", "--kind", "song"], 2, "`kind` must be one of"),
        (["--body", "/nowhere.json"], 2, "/nowhere.json: cannot read the body"),
    ],
)
def test_the_verb_tells_what_it_cannot_explain(config: Path, arguments: list[str], code: int, told: str) -> None:
    result = verb(config, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr


def test_the_verb_shows_a_refusal(config: Path) -> None:
    document = json.loads(config.read_text())
    config.write_text(json.dumps({"model_list": [document["model_list"][0] | {"enabled": False}]}))
    result = verb(config, "--model", "gpt-4o")
    assert result.exit_code == 1
    assert "refused with 503 no_deployment_available" in result.stdout
    assert "disabled" in result.stdout


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_can_be_explained(config: Path, strategy: str) -> None:
    document = json.loads(config.read_text())
    config.write_text(json.dumps(document | {"routing": {"strategy": strategy}}))
    told = json.loads(verb(config, "--model", "gpt-4o", "--json").stdout)
    candidates = told["groups"]["gpt-4o"]["candidates"]
    assert sum(one["probability"] for one in candidates) == pytest.approx(1.0)
    assert all(one["inputs"] for one in candidates)
