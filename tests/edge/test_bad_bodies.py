"""Bodies that are no request: each gets a 400 that says why, and the connection lives on."""

from __future__ import annotations

import asyncio

import pytest

from tests.edge.house import Open
from tests.edge.wire import CHAT, HI

DEEP = 10_000
MESSAGES = b'"messages": [{"role": "user", "content": "hi"}]'

BAD_JSON = {
    "no body": b"",
    "white space": b"  \r\n ",
    "not JSON": b"model=m&messages=hi",
    "cut short": b'{"model": "m", "messages": [',
    "trailing garbage": b'{"model": "m"} {}',
    "NaN": b'{"model": "m", "temperature": NaN}',
    "not UTF-8": b'{"model": "\xff\xfe", %b}' % MESSAGES,
    "a byte order mark": b'\xef\xbb\xbf{"model": "m", %b}' % MESSAGES,
    "a raw NUL": b'{"model": "m\x00", %b}' % MESSAGES,
    "a NUL after the end": b'{"model": "m", %b}\x00' % MESSAGES,
    "a lone surrogate": b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}',
    "a raw surrogate": b'{"model": "m\xed\xa0\x80", %b}' % MESSAGES,
    "deep arrays": b'{"model": "m", %b, "x": %b%b}' % (MESSAGES, b"[" * DEEP, b"]" * DEEP),
    "deep objects": b'{"model": "m", %b, "x": %b1%b}' % (MESSAGES, b'{"a":' * DEEP, b"}" * DEEP),
    "deep and cut short": b"[" * DEEP,
}
NOT_OBJECTS = {"an array": b"[1, 2]", "a string": b'"hello"', "a number": b"42", "null": b"null", "true": b"true"}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON)
async def test_what_is_no_json_is_refused_and_the_connection_is_kept(house: Open, body: bytes) -> None:
    async with house() as router:
        client = await router.connect()
        seen = await client.ask(CHAT, body)
        assert seen.status == 400
        error = seen.error()
        assert error["type"] == error["code"] == "invalid_request_error"
        assert error["param"] is None
        assert "empty" in error["message"] if not body else "not valid JSON" in error["message"]
        assert seen.headers["x-request-id"]
        assert (await client.ask(CHAT, HI)).status == 200


@pytest.mark.parametrize("body", NOT_OBJECTS.values(), ids=NOT_OBJECTS)
async def test_json_that_is_no_object_is_refused(house: Open, body: bytes) -> None:
    async with house() as router:
        seen = await router.ask(CHAT, body)
        assert (seen.status, seen.error()["message"]) == (400, "the body must be a JSON object")


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "m", %b, "model": "demo"}' % MESSAGES,
        b'{"model": "m", %b, "mod\\u0065l": "demo"}' % MESSAGES,
        b'{"\\u006dodel": "demo", %b, "model": "m"}' % MESSAGES,
    ],
    ids=["plain", "escaped", "escaped first"],
)
async def test_a_name_that_stands_twice_is_refused_so_that_what_was_checked_is_what_is_sent(
    house: Open, body: bytes
) -> None:
    async with house() as router:
        seen = await router.ask(CHAT, body)
        assert (seen.status, seen.error()["param"]) == (400, "model")
        assert seen.error()["message"] == "`model` stands twice in the body"


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
async def test_a_great_many_names_cost_no_more_than_their_bytes(house: Open, twice: bool) -> None:
    names = [f"name_{number}" for number in range(50_000)] + ["name_7"] * twice
    body = b'{"model": "m", %b, %b}' % (MESSAGES, b", ".join(b'"%b": 1' % name.encode() for name in names))
    async with house() as router:
        began = asyncio.get_running_loop().time()
        seen = await router.ask(CHAT, body)
        assert asyncio.get_running_loop().time() - began < 2
        assert (seen.status, seen.headers["content-type"]) == (400 if twice else 200, "application/json")


async def test_names_may_repeat_further_down_and_as_values(house: Open) -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "model", "model": 1, "a": {"model": 2}}]}'
    async with house() as router:
        assert (await router.ask(CHAT, body)).status == 200


async def test_an_escaped_nul_and_a_paired_surrogate_are_text_like_any_other(house: Open) -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "a\\u0000b\\ud83d\\ude00"}]}'
    async with house() as router:
        seen = await router.ask(CHAT, body)
        assert seen.json()["choices"][0]["message"]["content"].endswith("a\x00b\N{GRINNING FACE}")


@pytest.mark.parametrize("model", ["m\x00", "\U0001f600", "x" * 100_000, "../../etc/passwd", "m\r\nx: y", "*", "[a-z]"])
async def test_a_strange_model_name_is_an_unknown_one(house: Open, model: str) -> None:
    async with house() as router:
        seen = await router.ask(CHAT, HI | {"model": model})
        assert (seen.status, seen.error()["code"], seen.error()["param"]) == (404, "model_not_found", "model")
        assert len(seen.body) < 500
        assert "x" not in seen.headers
