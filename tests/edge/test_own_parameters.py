"""The router's own parameters at work."""

from __future__ import annotations

import time

import orjson

from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.edge.house import Open, group, remote
from tests.edge.wire import CHAT, HI


async def test_context_window_fallback_dict_wins_over_the_configured_list(house: Open) -> None:
    small = Behaviour(script=("400-context",))
    async with MockServer(small) as full, MockServer() as large, MockServer() as other:
        models = [
            group(remote("a", full), context_window_fallbacks=("other",)),
            group(remote("b", other), name="other"),
            group(remote("c", large), name="large"),
        ]
        async with house(*models) as router:
            for asked, by in ((None, "other"), ({"m": "large"}, "large"), ({"else": "large"}, "other")):
                seen = await router.ask(CHAT, HI | {"context_window_fallback_dict": asked})
                assert (seen.status, seen.headers["x-router-fallback"]) == (200, by)
        assert all("context_window_fallback_dict" not in orjson.loads(sent.body) for sent in large.requests)


async def test_timeout_is_for_all_attempts_together_and_no_longer_than_configured(house: Open) -> None:
    async with MockServer(Behaviour(script=("hang",))) as mock:
        async with house(group(remote("a", mock), remote("b", mock, model="b"), timeout=0.6)) as router:
            for asked, least, most in ((0.3, 0.3, 0.6), (50, 0.6, 5.0)):
                began = time.perf_counter()
                seen = await router.ask(CHAT, HI | {"timeout": asked})
                assert (seen.status, seen.error()["code"]) == (504, "timeout")
                assert least - 0.05 <= time.perf_counter() - began < most + 5.0
            began = time.perf_counter()
            assert (await router.ask(CHAT, HI, headers="x-router-timeout: 0.2\r\n")).status == 504
            assert time.perf_counter() - began < 5.0
        assert all("timeout" not in orjson.loads(sent.body) for sent in mock.requests)
