"""A client's metadata: for the log line, and for upstream only where the endpoint itself defines it."""

from __future__ import annotations

import orjson

from router.mock.server import MockServer
from tests.edge.house import Open, group, remote
from tests.edge.wire import CHAT, HI


async def test_metadata_is_in_the_log_line_and_nowhere_upstream(house: Open) -> None:
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        await router.ask(CHAT, HI | {"metadata": {"run": "7", "deep": {"a": [1]}}})
        await router.ask(CHAT, HI)
        assert b"run" not in mock.requests[0].body
        lines = await router.log_lines()
    assert [line.get("metadata") for line in lines] == [{"run": "7", "deep": {"a": [1]}}, None]
    assert "metadata" not in lines[1]


async def test_metadata_that_is_to_be_stored_goes_to_both(house: Open) -> None:
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        await router.ask(CHAT, HI | {"store": True, "metadata": {"run": "7"}})
        assert orjson.loads(mock.requests[0].body) == HI | {
            "model": "up-model",
            "store": True,
            "metadata": {"run": "7"},
        }
        (line,) = await router.log_lines()
    assert line["metadata"] == {"run": "7"}


async def test_metadata_beyond_a_bound_is_told_by_its_size_only(house: Open) -> None:
    async with house() as router:
        await router.ask(CHAT, HI | {"metadata": {"a": "x" * 20_000}})
        (line,) = await router.log_lines()
    assert line["metadata"] == {"omitted_bytes": 20_008}
