"""Known parameters are checked for their type; the router's own never travel on."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.mock.server import MockServer
from tests.edge.house import Open, group, remote
from tests.edge.wire import CHAT, HI

TEXT, EMBED = "/v1/completions", "/v1/embeddings"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: HI,
    TEXT: {"model": "m", "prompt": "say hi"},
    EMBED: {"model": "m", "input": "say hi"},
}
Values = tuple[Any, ...]
ANY: Values = ("x", 1, 1.5, True, [], {})
"""One value of every JSON type."""

NUMBER: Values = (1, 1.5)
WHOLE: Values = (1,)
SWITCH: Values = (True,)
STRING: Values = ("x",)
LIST: Values = ([],)
OBJECT: Values = ({},)
TEMPLATE: dict[str, Values] = {
    "initial_prompt_value": STRING,
    "roles": OBJECT,
    "final_prompt_value": STRING,
    "bos_token": STRING,
    "eos_token": STRING,
    "hf_model_name": STRING,
}
COMMON = {
    "stream": SWITCH,
    "stream_options": OBJECT,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "n": WHOLE,
    "stop": STRING + LIST,
    "max_tokens": WHOLE,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "logit_bias": OBJECT,
    "seed": WHOLE,
    "user": STRING,
    "timeout": NUMBER,
    "num_retries": WHOLE,
    "fallbacks": LIST,
    "context_window_fallback_dict": OBJECT,
    "metadata": OBJECT,
    "model": STRING,
    **TEMPLATE,
}
ACCEPTED: dict[str, dict[str, Values]] = {
    CHAT: {
        **COMMON,
        "messages": LIST,
        "max_completion_tokens": WHOLE,
        "response_format": OBJECT,
        "logprobs": SWITCH,
        "top_logprobs": WHOLE,
        "tools": LIST,
        "tool_choice": STRING + OBJECT,
        "parallel_tool_calls": SWITCH,
        "functions": LIST,
        "function_call": STRING + OBJECT,
    },
    TEXT: {**COMMON, "prompt": STRING + LIST, "logprobs": WHOLE, "best_of": WHOLE, "echo": SWITCH},
    EMBED: {
        "model": STRING,
        "stream": SWITCH,
        "stream_options": OBJECT,
        "input": STRING + LIST,
        "dimensions": WHOLE,
        "encoding_format": STRING,
        "user": STRING,
        "timeout": NUMBER,
        "num_retries": WHOLE,
        "fallbacks": LIST,
        "context_window_fallback_dict": OBJECT,
        "metadata": OBJECT,
        **TEMPLATE,
    },
}


def same(value: Any, accepted: Values) -> bool:
    return any(type(value) is type(item) and value == item for item in accepted)


TABLE = [(path, name, accepted) for path, names in ACCEPTED.items() for name, accepted in names.items()]


@pytest.mark.parametrize(("path", "name", "accepted"), TABLE, ids=[f"{p[4:]}-{n}" for p, n, _ in TABLE])
async def test_a_wrong_type_is_a_400_that_names_the_parameter(
    house: Open, path: str, name: str, accepted: Values
) -> None:
    async with house() as router:
        client = await router.connect()
        for value in ANY:
            if same(value, accepted):
                continue
            seen = await client.ask(path, BODIES[path] | {name: value})
            assert seen.status == 400, value
            assert seen.error()["param"] == name
            assert f"`{name}`" in seen.error()["message"]
            assert seen.error()["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", BODIES)
async def test_no_value_of_any_parameter_is_an_error_of_the_routers(house: Open, path: str) -> None:
    values: Values = (*ANY, None, -1, 2**63, 1e300, [None], [[]], {"x": None}, [{"model": 1}], "", "\x00")
    names = {name for names in ACCEPTED.values() for name in names}
    async with house() as router:
        client = await router.connect()
        for name in sorted(names):
            for value in values:
                for extra in ({}, {"stream": True}):
                    seen = await client.ask(path, BODIES[path] | extra | {name: value})
                    assert seen.status in (200, 400, 404), (name, value, seen.body)


@pytest.mark.parametrize(("path", "required"), [(CHAT, "messages"), (TEXT, "prompt"), (EMBED, "input")])
async def test_a_missing_or_empty_required_parameter_is_named(house: Open, path: str, required: str) -> None:
    async with house() as router:
        for name in ("model", required):
            body = {key: value for key, value in BODIES[path].items() if key != name}
            for given in (body, body | {name: None}, body | {name: ""}):
                seen = await router.ask(path, given)
                assert (seen.status, seen.error()["param"]) == (400, name)


async def test_a_message_that_is_no_object_is_named(house: Open) -> None:
    async with house() as router:
        seen = await router.ask(CHAT, HI | {"messages": [HI["messages"][0], "hi"]})
        assert (seen.status, seen.error()["param"]) == (400, "messages")


async def test_embeddings_are_never_streamed_whatever_the_client_says(house: Open) -> None:
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        seen = await router.ask(EMBED, BODIES[EMBED] | {"stream": True, "stream_options": {"include_usage": True}})
        assert (seen.status, seen.json()["object"]) == (200, "list")
        assert mock.started == 1


async def test_stream_options_need_a_stream(house: Open) -> None:
    async with house() as router:
        for stream in ({}, {"stream": False}, {"stream": None}):
            seen = await router.ask(CHAT, HI | stream | {"stream_options": {"include_usage": True}})
            assert (seen.status, seen.error()["param"]) == (400, "stream_options")


@pytest.mark.parametrize(
    ("name", "value"),
    [("timeout", 0), ("timeout", -1.5), ("num_retries", -1), ("fallbacks", [1]), ("fallbacks", [""]),
     ("fallbacks", [{"temperature": 1}]), ("fallbacks", [{"model": "m", "timeout": 1}]),
     ("fallbacks", [{"model": "m", "stream": True}]), ("fallbacks", [{"model": "m", "api_base": "http://x"}]),
     ("context_window_fallback_dict", {"m": 1}), ("roles", {"user": "U:"}), ("roles", {"user": {"before": "x"}}),
     ("roles", {"user": {"pre_message": 1}})],
)  # fmt: skip
async def test_a_value_of_the_routers_own_that_makes_no_sense_is_named(house: Open, name: str, value: object) -> None:
    async with house() as router:
        seen = await router.ask(CHAT, HI | {name: value})
        assert (seen.status, seen.error()["param"]) == (400, name)


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf", ""])
async def test_a_bad_timeout_header_is_named(house: Open, value: str) -> None:
    async with house() as router:
        seen = await router.ask(CHAT, HI, headers=f"x-router-timeout: {value}\r\n")
        assert (seen.status, seen.error()["param"]) == (400, "x-router-timeout")


@pytest.mark.parametrize(
    "name",
    ["api_base", "api_key", "api_version", "model_list", "headers", "extra_headers", "input_cost_per_token",
     "output_cost_per_token"],
)  # fmt: skip
async def test_an_override_is_refused_where_the_key_does_not_allow_it(house: Open, name: str) -> None:
    async with house() as router:
        seen = await router.ask(CHAT, HI | {name: "http://127.0.0.1:1"})
        error = seen.error()
        assert (seen.status, error["code"], error["param"]) == (403, "override_not_allowed", name)
        assert error["type"] == "permission_error"


async def test_the_routers_own_never_travel_and_everything_else_does_untouched(house: Open) -> None:
    own = {"timeout": 5, "num_retries": 1, "fallbacks": [], "context_window_fallback_dict": {}, "metadata": {"a": "b"}}
    theirs = {"temperature": 0.5, "logit_bias": {"1": 2}, "a_field_of_next_year": [1, {"x": None}]}
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        assert (await router.ask(CHAT, HI | own | theirs)).status == 200
        assert orjson.loads(mock.requests[-1].body) == HI | theirs | {"model": "up-model"}
        assert (await router.ask(CHAT, HI | {"store": True, "metadata": {"a": "b"}})).status == 200
        assert orjson.loads(mock.requests[-1].body)["metadata"] == {"a": "b"}


async def test_a_body_without_them_travels_byte_by_byte_but_for_its_model(house: Open) -> None:
    body = b'{ "messages" :[{"role":"user","content":"\\u00e9\\u0073"}],\r\n\t"model":"m" , "temperature":1.0 }'
    plain = body.replace(b"\\u00e9\\u0073", "é".encode())
    async with MockServer() as mock, house(group(remote("d", mock))) as router:
        assert (await router.ask(CHAT, plain)).status == 200
        assert mock.requests[-1].body == plain.replace(b'"m"', b'"up-model"')
        assert (await router.ask(CHAT, body)).status == 200
        assert orjson.loads(mock.requests[-1].body)["messages"][0]["content"] == "és"
