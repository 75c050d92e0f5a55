"""Who may come in, and what for. Every refusal is told from every other one, and none tells a secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.edge.house import Open, group, inside
from tests.edge.wire import CHAT, HI

TODAY = datetime.now(UTC).date()
SEARCH = {"name": "search", "key": "sk-search-1234", "models": ["m", "gpt-*"]}
ADMIN = {"name": "all", "key": "sk-all-5678"}
KEYS: list[dict[str, Any]] = [SEARCH, ADMIN]
GROUPS = [group(inside(name), name=name) for name in ("m", "gpt-4o", "gpt-4o-mini", "claude", "demo")]


def bearer(key: str) -> str:
    return f"authorization: Bearer {key}\r\n"


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ("", "no API key"),
        ("authorization: \r\n", "no API key"),
        ("authorization: Bearer\r\n", "no API key"),
        ("authorization: Bearer   \r\n", "no API key"),
        ("authorization: Basic sk-search-1234\r\n", "no API key"),
        ("authorization: sk-search-1234\r\n", "no API key"),
        (bearer("sk-wrong"), "not known"),
        (bearer("sk-search-123"), "not known"),
        (bearer("sk-search-12345"), "not known"),
        (bearer("SK-SEARCH-1234"), "not known"),
        (bearer("sk-search-1234 x"), "not known"),
        (bearer("\u00ff\u00fe"), "not known"),
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/models/m"])
async def test_without_a_known_key_nobody_comes_in(house: Open, headers: str, told: str, path: str) -> None:
    async with house(*GROUPS, keys=KEYS) as router:
        seen = await router.ask(path, HI if path == CHAT else None, headers=headers)
        error = seen.error()
        assert (seen.status, error["code"], error["type"]) == (401, "invalid_api_key", "authentication_error")
        assert told in error["message"]
        assert seen.headers["www-authenticate"] == "Bearer"
        assert "sk-" not in seen.raw.decode("latin-1")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key["name"])
async def test_every_key_opens_the_door(house: Open, scheme: str, key: dict[str, Any]) -> None:
    async with house(*GROUPS, keys=KEYS) as router:
        seen = await router.ask(CHAT, HI, headers=f"authorization: {scheme} {key['key']}\r\n")
        assert seen.status == 200


async def test_without_keys_the_door_is_open_whatever_the_client_sends(house: Open) -> None:
    async with house(*GROUPS) as router:
        assert (await router.ask(CHAT, HI)).status == 200
        assert (await router.ask(CHAT, HI, headers=bearer("anything"))).status == 200


async def test_the_master_key_opens_everything(house: Open) -> None:
    async with house(*GROUPS, keys=KEYS, master_key="sk-master") as router:
        assert (await router.ask(CHAT, HI | {"model": "claude"}, headers=bearer("sk-master"))).status == 200


@pytest.mark.parametrize(("days", "status"), [(-1, 401), (0, 200), (1, 200)])
async def test_a_key_is_good_up_to_and_with_its_last_day(house: Open, days: int, status: int) -> None:
    key = ADMIN | {"expires": str(TODAY + timedelta(days=days))}
    async with house(*GROUPS, keys=[key]) as router:
        seen = await router.ask(CHAT, HI, headers=bearer("sk-all-5678"))
        assert seen.status == status
        if status == 401:
            assert "expired" in seen.error()["message"]


@pytest.mark.parametrize("model", ["m", "gpt-4o", "gpt-4o-mini"])
async def test_a_key_may_use_the_models_and_patterns_on_its_list(house: Open, model: str) -> None:
    async with house(*GROUPS, keys=KEYS) as router:
        assert (await router.ask(CHAT, HI | {"model": model}, headers=bearer("sk-search-1234"))).status == 200


@pytest.mark.parametrize("path", [CHAT, "/v1/models/claude"])
async def test_a_key_may_not_use_others(house: Open, path: str) -> None:
    async with house(*GROUPS, keys=KEYS) as router:
        body = HI | {"model": "claude"} if path == CHAT else None
        seen = await router.ask(path, body, headers=bearer("sk-search-1234"))
        error = seen.error()
        assert (seen.status, error["code"], error["type"]) == (403, "model_not_allowed", "permission_error")
        assert (await router.ask(path, body, headers=bearer("sk-all-5678"))).status == 200


async def test_nor_reach_them_by_a_fallback_of_its_own(house: Open) -> None:
    async with house(*GROUPS, keys=KEYS) as router:
        for own in ({"fallbacks": ["claude"]}, {"context_window_fallback_dict": {"m": "claude"}}):
            assert (await router.ask(CHAT, HI | own, headers=bearer("sk-search-1234"))).status == 403


@pytest.mark.parametrize(
    ("allowed", "model", "status"),
    [
        (["claude"], "sonnet", 200),  # who may use a model may use it under its other names
        (["sonnet"], "sonnet", 200),
        (["sonnet"], "claude", 403),  # an alias can be given without the name behind it
        (["son*"], "sonnet", 200),
        (["m"], "sonnet", 403),
        (["vendor/*"], "vendor/any/thing", 200),
        (["vendor/x*"], "vendor/y", 403),
    ],
)
async def test_aliases_and_wildcards_are_allowed_by_name_or_pattern(
    house: Open, allowed: list[str], model: str, status: int
) -> None:
    wildcard = group(inside("w", model="*"), name="vendor/*")
    key = {"name": "k", "key": "sk-k", "models": allowed}
    async with house(*GROUPS, aliases={"sonnet": "claude"}, wildcards=[wildcard], keys=[key]) as router:
        assert (await router.ask(CHAT, HI | {"model": model}, headers=bearer("sk-k"))).status == status


async def test_the_list_of_models_shows_what_the_key_may_use(house: Open) -> None:
    async with house(*GROUPS, aliases={"gpt-latest": "gpt-4o", "sonnet": "claude"}, keys=KEYS) as router:

        async def names(key: str) -> list[str]:
            listed = (await router.ask("/v1/models", headers=bearer(key))).json()
            assert listed["object"] == "list"
            return [item["id"] for item in listed["data"]]

        assert await names("sk-search-1234") == ["gpt-4o", "gpt-4o-mini", "gpt-latest", "m"]
        assert await names("sk-all-5678") == ["claude", "demo", "gpt-4o", "gpt-4o-mini", "gpt-latest", "m", "sonnet"]


async def test_an_unknown_model_is_answered_with_close_names_that_the_key_may_use(house: Open) -> None:
    async with house(*GROUPS, keys=KEYS) as router:
        for path, body in ((CHAT, HI | {"model": "gpt-4"}), ("/v1/models/gpt-4", None)):
            seen = await router.ask(path, body, headers=bearer("sk-search-1234"))
            error = seen.error()
            assert (seen.status, error["code"], error["param"]) == (404, "model_not_found", "model")
            assert error["message"] == "the model `gpt-4` is not served here; did you mean gpt-4o, gpt-4o-mini?"
        seen = await router.ask(CHAT, HI | {"model": "claud"}, headers=bearer("sk-search-1234"))
        assert seen.error()["message"] == "the model `claud` is not served here"


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/metrics"])
async def test_health_and_metrics_need_no_key(house: Open, path: str) -> None:
    async with house(*GROUPS, keys=KEYS) as router:
        assert (await router.ask(path)).status == 200
        assert (await router.ask(path, headers=bearer("sk-wrong"))).status == 200
