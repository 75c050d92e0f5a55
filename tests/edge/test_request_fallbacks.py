"""A request's own fallbacks, whose parameters hold for their models only."""

from __future__ import annotations

from typing import Any

import orjson

from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.edge.house import Open, group, remote
from tests.edge.wire import CHAT, HI

DOWN = Behaviour(script=("503",))


def bodies(mock: MockServer) -> list[dict[str, Any]]:
    return [orjson.loads(request.body) for request in mock.requests]


async def test_a_fallbacks_parameters_replace_the_bodys_for_that_model_alone(house: Open) -> None:
    async with MockServer(DOWN) as down, MockServer() as up:
        models = [
            group(remote("a", down), name="m", num_retries=0),
            group(remote("b", down, model="up-b"), name="n", num_retries=0),
            group(remote("c", up, model="up-c"), name="o"),
        ]
        async with house(*models) as router:
            other = [{"role": "user", "content": "shorter"}]
            fallbacks = [{"model": "n", "temperature": 0.1, "max_tokens": 5}, {"model": "o", "messages": other}]
            seen = await router.ask(CHAT, HI | {"temperature": 1, "seed": 7, "fallbacks": fallbacks})
            assert (seen.status, seen.headers["x-router-fallback"]) == (200, "o")
        assert bodies(down) == [
            HI | {"model": "up-model", "temperature": 1, "seed": 7},
            HI | {"model": "up-b", "temperature": 0.1, "seed": 7, "max_tokens": 5},
        ]
        assert bodies(up) == [{"model": "up-c", "messages": other, "temperature": 1, "seed": 7}]


async def test_plain_names_and_objects_may_stand_side_by_side_and_an_alias_is_its_group(house: Open) -> None:
    async with MockServer(DOWN) as down, MockServer() as up:
        models = [group(remote("a", down), name="m", num_retries=0), group(remote("c", up), name="o")]
        async with house(*models, aliases={"oh": "o"}) as router:
            seen = await router.ask(CHAT, HI | {"fallbacks": ["m", {"model": "oh", "n": 2}]})
            assert (seen.status, len(seen.json()["choices"])) == (200, 2)
        assert bodies(up)[-1]["n"] == 2


async def test_a_wrong_type_within_a_fallback_is_named_before_anything_is_sent(house: Open) -> None:
    async with MockServer() as mock, house(group(remote("d", mock)), group(remote("e", mock), name="n")) as router:
        for changes, param in (({"temperature": "hot"}, "temperature"), ({"roles": {"user": 1}}, "roles"),
                               ({"messages": []}, "messages")):  # fmt: skip
            seen = await router.ask(CHAT, HI | {"fallbacks": [{"model": "n"} | changes]})
            assert (seen.status, seen.error()["param"]) == (400, param)
        assert mock.started == 0


async def test_an_unknown_model_in_an_object_is_named_and_a_forbidden_one_refused(house: Open) -> None:
    keys = [{"name": "narrow", "key": "sk-narrow", "models": ["m"]}]
    async with (
        MockServer() as mock,
        house(group(remote("d", mock)), group(remote("e", mock), name="n"), keys=keys) as router,
    ):
        auth = "authorization: Bearer sk-narrow\r\n"
        for model, status in (("nowhere", 404), ("n", 403)):
            seen = await router.ask(CHAT, HI | {"fallbacks": [{"model": model, "n": 1}]}, headers=auth)
            assert (seen.status, seen.error()["param"]) == (status, "fallbacks")


async def test_an_empty_list_turns_the_configured_fallbacks_off(house: Open) -> None:
    async with MockServer(DOWN) as down, MockServer() as up:
        models = [group(remote("a", down), num_retries=0, fallbacks=("o",)), group(remote("c", up), name="o")]
        async with house(*models) as router:
            assert (await router.ask(CHAT, HI)).status == 200
            assert (await router.ask(CHAT, HI | {"fallbacks": []})).status == 502
        assert up.started == 1


async def test_more_retries_than_attempts_are_allowed_are_not_made(house: Open) -> None:
    async with MockServer(DOWN) as down:
        models = [
            remote("a", down),
            remote("b", down, model="b"),
            remote("c", down, model="c"),
            remote("d", down, model="d"),
        ]
        async with house(group(*models, num_retries=0, max_attempts=3)) as router:
            for asked, sent in ((None, 1), (1, 2), (2, 3), (50, 3)):
                before = down.started
                await router.ask(CHAT, HI if asked is None else HI | {"num_retries": asked})
                assert down.started - before == sent
