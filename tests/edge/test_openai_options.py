"""The openai client's own options, as its documentation has them: `extra_body`, `extra_headers`, `timeout`."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from router.dialects.mock.behaviour import Behaviour
from tests.edge.house import House, Open, group, inside

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def client(router: House, **more: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{router.port}/v1", api_key="any", max_retries=0, **more)


async def test_extra_body_carries_the_routers_parameters(house: Open) -> None:
    failing = inside("f", Behaviour(script=("503",)))
    groups = [group(failing), group(inside("n", model_name="n"), name="n")]
    async with house(*groups) as router, client(router) as openai_:
        raw = await openai_.chat.completions.with_raw_response.create(
            **ASKED, extra_body={"fallbacks": ["n"], "num_retries": 0}
        )
        assert raw.headers["x-router-fallback"] == "n"


async def test_extra_headers_reach_the_router(house: Open) -> None:
    tagged = inside("tagged", tags=frozenset({"eu"}))
    async with house(group(inside("plain"), tagged)) as router, client(router) as openai_:
        extra = {"x-router-tags": "eu", "x-request-id": "mine"}
        for _ in range(4):
            raw = await openai_.chat.completions.with_raw_response.create(**ASKED, extra_headers=extra)
            assert raw.headers["x-router-deployment"] == "tagged"
            assert raw.headers["x-request-id"] == "mine"


async def test_the_clients_timeout_ends_its_request_and_the_routers_is_a_504(house: Open) -> None:
    async with house(group(inside("silent", Behaviour(script=("hang",))))) as router:
        async with client(router, timeout=0.2) as hurried:
            with pytest.raises(openai.APITimeoutError):
                await hurried.chat.completions.create(**ASKED)
        await router.until_in_flight(0)
        async with client(router) as patient:
            with pytest.raises(openai.APIStatusError) as failed:
                await patient.chat.completions.create(**ASKED, extra_body={"timeout": 0.2})
            assert failed.value.status_code == 504
