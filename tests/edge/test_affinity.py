from __future__ import annotations

from typing import Any

import pytest

from router.edge.affinity import HEADER, PROMPT_BYTES, affinity_of
from router.mock.server import MockServer
from tests.edge.house import Open, group, remote
from tests.edge.wire import CHAT, HI


def messages(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


def test_the_header_comes_before_the_body_and_the_cache_key_before_the_user() -> None:
    body = {"prompt_cache_key": "cache", "user": "u", **messages("hi")}
    assert affinity_of({HEADER: "mine"}, body) == "mine"
    assert affinity_of({}, body) == "cache"
    assert affinity_of({}, body | {"prompt_cache_key": None}) == "u"
    assert affinity_of({HEADER: ""}, {"prompt_cache_key": 5, "user": "u"}) == "u"


def test_else_it_is_the_first_four_kilobytes_of_the_prompt() -> None:
    start = "x" * PROMPT_BYTES
    for one, other in (
        (messages(start + "a"), messages(start + "b")),
        (messages(start, "a"), messages(start, "b", "c")),
        ({"prompt": start + "a"}, {"prompt": start + "b"}),
        ({"input": [start + "a"]}, {"input": [start + "b", "c"]}),
    ):
        assert affinity_of({}, one) == affinity_of({}, other)
        assert len(affinity_of({}, one)) == PROMPT_BYTES
    assert affinity_of({}, messages("a")) != affinity_of({}, messages("b"))


def test_tools_are_a_part_of_it() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert affinity_of({}, messages("a")) != affinity_of({}, messages("a") | {"tools": tools})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url"}]}]},
        {"messages": [{"role": None, "content": "é" * 5000}]},
        {"prompt": [[1, 2, 3], [4]]},
        {"input": 5},
        {"input": [None, {"a": 1}]},
    ],
)
def test_whatever_the_prompt_looks_like_there_is_a_key(body: dict[str, Any]) -> None:
    assert isinstance(affinity_of({}, body), str)
    assert affinity_of({}, body) == affinity_of({}, dict(body))


async def test_requests_of_one_key_meet_again_at_the_same_deployment(house: Open) -> None:
    async with MockServer() as mock:
        places = [remote(f"d{index}", mock, model=f"m{index}") for index in range(5)]
        async with house(group(*places, strategy="affinity")) as router:
            homes = {}
            for key in "abcdefgh":
                seen = [await router.ask(CHAT, HI, headers=f"x-router-affinity: {key}\r\n") for _ in range(5)]
                served = {each.headers["x-router-deployment"] for each in seen}
                assert len(served) == 1
                homes[key] = served.pop()
            assert len(set(homes.values())) > 1
