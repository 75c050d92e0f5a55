"""Every row of the parameter table over every dialect, by the bytes that upstream received."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson
import pytest

from router.core.prompts import PromptTemplate
from router.core.types import PROMPTED, Deployment
from router.dialects.azure import AzureOptions
from router.dialects.registry import PROVIDERS, dialects
from router.dialects.sagemaker import AwsAccount
from router.dialects.support import Fate, Support
from router.edge.parameters.table import PARAMETERS, Owner
from router.mock.server import MockServer
from tests.edge.house import Open, group
from tests.edge.parameter_rows import EMULATED, NEEDS, SAMPLES, place
from tests.edge.recording import text_server
from tests.edge.wire import CHAT, HI

ONLY_TEXT = ("huggingface", "sagemaker")
OWN_PATHS = ("azure", *ONLY_TEXT)
"""Providers whose paths the mock provider does not have."""
SPOKEN: dict[str, Support] = {name: dialect.support for name, dialect in dialects().items() if name not in ONLY_TEXT}
"""The dialects that chat completions go out in."""
CHAT_ROWS = [row for row in PARAMETERS if "chat" in row.kinds]
UPSTREAMS = [row.name for row in CHAT_ROWS if row.owner is Owner.UPSTREAM]
OWN = [row.name for row in CHAT_ROWS if row.owner in (Owner.ROUTER, Owner.TEMPLATE) and row.name in SAMPLES]
OVERRIDES = [row.name for row in CHAT_ROWS if row.owner is Owner.OVERRIDE]


@pytest.fixture
def fast_path() -> bool:
    """One way through the server is enough: what upstream is sent does not depend on it."""
    return True


class Sent(NamedTuple):
    path: str
    body: Any


@asynccontextmanager
async def upstream(name: str, **more: Any) -> AsyncIterator[tuple[Deployment, list[Any]]]:
    """A deployment that is spoken to in this dialect, and the requests it has been sent."""
    provider = name.removesuffix(PROMPTED)
    given: dict[str, Any] = {"id": "d", "model_name": "m", "provider": provider, "model": "up-model"} | more
    if name.endswith(PROMPTED):
        given |= {"mode": "completion", "template": PromptTemplate(hf_model_name="llama-3")}
    if provider in OWN_PATHS:
        async with text_server() as server:
            account = AwsAccount("eu-central-1", access_key_id="AKIDEXAMPLE", secret_access_key="secret")
            options = {"sagemaker": account, "azure": AzureOptions("2024-10-21")}.get(provider)
            yield Deployment(**given, api_base=server.url, options=options), server.requests
    else:
        async with MockServer() as mock:
            yield Deployment(**given, api_base=mock.url), mock.requests  # type: ignore[misc]


def sent(requests: list[Any]) -> Sent:
    last = requests[-1]
    raw = last.raw if hasattr(last, "raw") else last.body
    return Sent(last.path, orjson.loads(raw))


def asking(name: str) -> dict[str, Any]:
    """A body with the parameter, and what it goes with."""
    return HI | NEEDS.get(name, {}) | {name: SAMPLES[name]}


def found_at(body: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        body = body.get(step) if isinstance(body, dict) else None
    return body


def names_in(value: Any) -> set[str]:
    """Every member's name, however deep."""
    if isinstance(value, dict):
        return set(value) | {name for item in value.values() for name in names_in(item)}
    return {name for item in value for name in names_in(item)} if isinstance(value, list) else set()


def test_every_row_has_a_value_and_every_dialect_says_what_becomes_of_it() -> None:
    assert set(SAMPLES) == {
        row.name for row in CHAT_ROWS if row.owner is not Owner.OVERRIDE and row.name != "deployment_id"
    }
    for name, support in SPOKEN.items():
        assert set(support) == set(UPSTREAMS), name
        emulated = {row for row, how in support.items() if how.fate is Fate.EMULATED}
        assert emulated <= set(EMULATED[name]), name
    assert {name.removesuffix(PROMPTED) for name in SPOKEN} == set(PROVIDERS)


@pytest.mark.parametrize("dialect", SPOKEN)
@pytest.mark.parametrize("name", UPSTREAMS)
async def test_upstreams_own_is_sent_emulated_or_refused_as_the_dialect_says(
    house: Open, dialect: str, name: str
) -> None:
    how = SPOKEN[dialect][name]
    refused = how.fate is Fate.REFUSED or any(
        SPOKEN[dialect][need].fate is Fate.REFUSED for need in NEEDS.get(name, {})
    )
    async with upstream(dialect) as (deployment, requests), house(group(deployment)) as router:
        seen = await router.ask(CHAT, asking(name))
        if refused:
            assert seen.status == 400
            assert seen.error()["code"] == "unsupported_parameter"
            assert seen.error()["param"] in (name, *NEEDS.get(name, {}))
            assert len(requests) == 0
            return
        assert seen.status == 200, seen.body
        path, body = sent(requests)
        special = EMULATED[dialect].get(name)
        if special is not None:
            assert special(body, path), body
        else:
            assert found_at(body, place(how, name)) == SAMPLES[name]


@pytest.mark.parametrize("dialect", SPOKEN)
async def test_drop_params_leaves_out_what_the_dialect_refuses(house: Open, dialect: str) -> None:
    refused = {name: SAMPLES[name] for name, how in SPOKEN[dialect].items() if how.fate is Fate.REFUSED}
    async with upstream(dialect, drop_params=True) as (deployment, requests), house(group(deployment)) as router:
        seen = await router.ask(CHAT, HI | refused)
        assert seen.status == 200, seen.body
        assert names_in(sent(requests).body).isdisjoint(refused)


@pytest.mark.parametrize("dialect", SPOKEN)
async def test_values_that_ask_for_nothing_are_no_reason_to_refuse(house: Open, dialect: str) -> None:
    nothing: dict[str, Any] = {"n": 1, "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "stop": None,
                               "logprobs": False, "response_format": {"type": "text"}, "seed": None}  # fmt: skip
    async with upstream(dialect) as (deployment, _), house(group(deployment)) as router:
        assert (await router.ask(CHAT, HI | nothing)).status == 200


@pytest.mark.parametrize("dialect", SPOKEN)
@pytest.mark.parametrize("name", OWN)
async def test_the_routers_own_never_reaches_upstream(house: Open, dialect: str, name: str) -> None:
    async with upstream(dialect) as (deployment, requests), house(group(deployment)) as router:
        assert (await router.ask(CHAT, asking(name))).status == 200
        assert name not in names_in(sent(requests).body)


@pytest.mark.parametrize("name", OVERRIDES)
async def test_an_override_without_permission_is_a_403_and_nothing_is_sent(house: Open, name: str) -> None:
    async with upstream("openai") as (deployment, requests), house(group(deployment)) as router:
        seen = await router.ask(CHAT, HI | {name: {} if "headers" in name else "x"})
        assert (seen.status, seen.error()["param"]) == (403, name)
        assert len(requests) == 0


@pytest.mark.parametrize("dialect", SPOKEN)
async def test_what_the_router_does_not_know_travels_on(house: Open, dialect: str) -> None:
    async with upstream(dialect) as (deployment, requests), house(group(deployment)) as router:
        assert (await router.ask(CHAT, HI | {"top_k": 40, "of_next_year": {"a": [None]}})).status == 200
        body = sent(requests).body
        held = body.get("parameters", body)
        assert (held["top_k"], held["of_next_year"]) == (40, {"a": [None]})


@pytest.mark.parametrize(
    ("dialect", "changed", "expected"),
    [
        ("openai+prompt", {"initial_prompt_value": "Begin. "}, "Begin. say hi"),
        ("vllm+prompt", {"roles": {"user": {"pre_message": "U: ", "post_message": "\n"}}}, "U: say hi\n"),
        ("openai+prompt", {"final_prompt_value": "A:"}, "say hiA:"),
        ("huggingface+prompt", {"bos_token": "<B>", "roles": {}}, "<B>say hi"),
        ("sagemaker+prompt", {"eos_token": "<E>", "roles": {}}, "say hi"),
        ("vllm+prompt", {"hf_model_name": "chatml"}, "<|im_start|>user\nsay hi<|im_end|>\n<|im_start|>assistant\n"),
    ],
)
async def test_a_templates_parameter_shapes_the_prompt(
    house: Open, dialect: str, changed: dict[str, Any], expected: str
) -> None:
    async with upstream(dialect) as (deployment, requests), house(group(deployment)) as router:
        assert (await router.ask(CHAT, HI | changed)).status == 200
        body = sent(requests).body
        assert body.get("inputs", body.get("prompt")) == expected


@pytest.mark.parametrize("wanted", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    "given", [{"max_tokens": 7}, {"max_completion_tokens": 7}, {"max_tokens": 9, "max_completion_tokens": 7}]
)
async def test_the_longest_reply_goes_by_the_name_that_the_deployment_wants(
    house: Open, wanted: str, given: dict[str, int]
) -> None:
    async with upstream("openai", max_tokens_name=wanted) as (deployment, requests), house(group(deployment)) as router:
        assert (await router.ask(CHAT, HI | given)).status == 200
        assert sent(requests).body == HI | {"model": "up-model", wanted: 7}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "say hi", "best_of": 2, "echo": True, "logprobs": 3}),
        ("/v1/embeddings", {"input": "say hi", "dimensions": 8, "encoding_format": "float"}),
    ],
)
async def test_the_parameters_of_other_kinds_travel_on(house: Open, path: str, body: dict[str, Any]) -> None:
    async with upstream("openai") as (deployment, requests), house(group(deployment)) as router:
        assert (await router.ask(path, {"model": "m"} | body)).status == 200
        assert sent(requests).body == {"model": "up-model"} | body


async def test_a_request_that_one_deployment_cannot_express_goes_to_one_that_can(house: Open) -> None:
    async with upstream("huggingface+prompt") as (text, texts), upstream("openai", id="e", model="e") as (chat, chats):
        first = Deployment(id="t", model_name="m", provider=text.provider, model=text.model, api_base=text.api_base,
                           mode="completion", template=text.template, weight=1e6)  # fmt: skip
        async with house(group(first, chat, strategy="weighted")) as router:
            for _ in range(5):
                seen = await router.ask(CHAT, asking("tools"))
                assert (seen.status, seen.headers["x-router-deployment"]) == (200, "e")
            assert (len(texts), len(chats)) == (0, 5)
