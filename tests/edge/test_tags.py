from __future__ import annotations

from typing import Any

import pytest

from router.core.types import Tags
from router.edge.tags import tags_of
from router.mock.server import MockServer
from tests.edge.house import Open, group, remote
from tests.edge.wire import CHAT, HI


@pytest.mark.parametrize(
    ("listed", "header", "tags"),
    [
        ((), None, None),
        ((), "", None),
        ((), "eu", Tags(frozenset({"eu"}))),
        ((), " eu , paid ,,", Tags(frozenset({"eu", "paid"}))),
        ((), "eu,!paid", Tags(frozenset({"eu"}), frozenset({"paid"}))),
        ((), "! paid", Tags(frozenset(), frozenset({"paid"}))),
        ((), "!", Tags(frozenset())),
        (("a, b",), None, Tags(frozenset({"a, b"}))),
        (("eu", "!slow"), "paid", Tags(frozenset({"eu", "paid"}), frozenset({"slow"}))),
    ],
)
def test_all_that_is_named_counts_wherever_it_is_named(
    listed: tuple[str, ...], header: str | None, tags: Tags | None
) -> None:
    assert tags_of(listed, header) == tags


@pytest.mark.parametrize(
    ("header", "metadata", "served"),
    [
        ("", None, {"eu", "eu-paid", "us"}),
        ("x-router-tags: eu\r\n", None, {"eu", "eu-paid"}),
        ("x-router-tags: eu, paid\r\n", None, {"eu-paid"}),
        ("x-router-tags: eu,!paid\r\n", None, {"eu"}),
        ("", ["!eu"], {"us"}),
        ("x-router-tags: paid\r\n", ["eu"], {"eu-paid"}),
        ("", [], {"eu", "eu-paid", "us"}),
    ],
)
async def test_a_request_goes_to_a_deployment_with_all_of_its_tags_and_none_it_rules_out(
    house: Open, header: str, metadata: list[str] | None, served: set[str]
) -> None:
    async with MockServer() as mock:
        tagged = {"eu": {"eu"}, "eu-paid": {"eu", "paid"}, "us": {"us"}}
        places = [remote(name, mock, model=name, tags=frozenset(tags)) for name, tags in tagged.items()]
        async with house(group(*places, strategy="round-robin")) as router:
            body = HI if metadata is None else HI | {"metadata": {"tags": metadata}}
            seen = [await router.ask(CHAT, body, headers=header) for _ in range(6)]
            assert {each.headers["x-router-deployment"] for each in seen} == served


async def test_tags_that_no_deployment_has_are_the_clients_mistake(house: Open) -> None:
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        seen = await router.ask(CHAT, HI, headers="x-router-tags: moon\r\n")
        assert (seen.status, seen.error()["code"], seen.error()["param"]) == (400, "no_deployment_with_tags", "tags")
        assert mock.started == 0


@pytest.mark.parametrize("tags", ["eu", [1], [""], {"eu": True}, 5])
async def test_tags_that_are_no_list_of_names_are_named(house: Open, tags: Any) -> None:
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        seen = await router.ask(CHAT, HI | {"metadata": {"tags": tags}})
        assert (seen.status, seen.error()["param"]) == (400, "metadata.tags")


async def test_a_text_called_tags_in_metadata_that_upstream_keeps_is_not_ours(house: Open) -> None:
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        assert (await router.ask(CHAT, HI | {"store": True, "metadata": {"tags": "theirs"}})).status == 200
