"""Every error comes up in the official client as the exception its users wait for."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.e2e.conftest import KEY, NARROW_KEY, Ask
from tests.e2e.processes import Mock, Router

HI: Any = {"messages": [{"role": "user", "content": "say hi"}]}


def chat(model: str, **more: Any) -> Any:
    return lambda client: client.chat.completions.create(model=model, **HI, **more)


def with_key(key: str, make: Any) -> Any:
    return lambda client: make(client.with_options(api_key=key))


async def test_a_wrong_type_is_a_bad_request(ask: Ask, mock: Mock) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(chat("gpt-4o", temperature="hot"))
    assert (caught.value.param, caught.value.code, caught.value.type) == (
        "temperature", "invalid_request_error", "invalid_request_error",
    )  # fmt: skip
    assert caught.value.request_id
    assert mock.stats()["started"] == 0


async def test_what_upstream_calls_a_bad_request_is_one_in_its_own_words(ask: Ask, mock: Mock) -> None:
    mock.behave(script=["400-context"])
    with pytest.raises(openai.BadRequestError, match="maximum context length is 8192 tokens") as caught:
        await ask(chat("refused"))
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


async def test_a_wrong_key(ask: Ask, mock: Mock) -> None:
    for key in ("sk-wrong", KEY[:-1]):
        with pytest.raises(openai.AuthenticationError) as caught:
            await ask(with_key(key, chat("gpt-4o")))
        assert caught.value.code == "invalid_api_key"


async def test_a_model_or_an_override_that_the_key_may_not_use(ask: Ask, mock: Mock) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        await ask(with_key(NARROW_KEY, chat("down")))
    assert caught.value.code == "model_not_allowed"
    with pytest.raises(openai.PermissionDeniedError) as caught:
        await ask(chat("gpt-4o", extra_body={"api_base": "http://127.0.0.1:1"}))
    assert (caught.value.code, caught.value.param) == ("override_not_allowed", "api_base")


async def test_a_model_or_a_path_that_is_not_there(ask: Ask, mock: Mock) -> None:
    for make in (chat("gpt-5"), lambda client: client.models.retrieve("gpt-5")):
        with pytest.raises(openai.NotFoundError, match="did you mean gpt-4o") as caught:
            await ask(make)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError) as caught:
        await ask(lambda client: client.moderations.create(input="x"))
    assert caught.value.code == "not_found"


async def test_upstreams_422_and_409_pass_through(ask: Ask, mock: Mock) -> None:
    mock.behave(script=["422", "409"])
    with pytest.raises(openai.UnprocessableEntityError):
        await ask(chat("odd"))
    with pytest.raises(openai.ConflictError):
        await ask(chat("conflict"))


async def test_a_rate_limit(ask: Ask, mock: Mock) -> None:
    mock.behave(script=["429"], retry_after=60)
    with pytest.raises(openai.RateLimitError) as caught:
        await ask(chat("limited", extra_body={"num_retries": 0}))
    assert caught.value.code == "rate_limit_exceeded"
    assert 0 < float(caught.value.response.headers["retry-after"]) <= 60


@pytest.mark.parametrize("step", ["500", "503", "reset", "garbage", "error"])
async def test_a_model_that_is_down(ask: Ask, mock: Mock, step: str) -> None:
    mock.behave(script=[step])
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(chat("down", extra_body={"num_retries": 0}))
    assert caught.value.status_code in (502, 503)
    assert caught.value.code in ("upstream_error", "upstream_unreachable", "no_deployment_available")


async def test_the_routers_own_key_being_refused_is_no_authentication_error(ask: Ask, mock: Mock) -> None:
    mock.behave(script=["401"])
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(chat("auth"))
    assert caught.value.status_code in (502, 503, 429)
    assert not isinstance(caught.value, openai.AuthenticationError)


async def test_a_deadline_that_passes(ask: Ask, mock: Mock, router: Router) -> None:
    mock.behave(script=["hang"])
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(chat("slow", extra_body={"timeout": 0.1}))
    assert (caught.value.status_code, caught.value.code) == (504, "timeout")


async def test_a_client_that_loses_patience(ask: Ask, mock: Mock, router: Router) -> None:
    mock.behave(script=["hang"])
    with pytest.raises(openai.APITimeoutError):
        await ask(chat("slow", timeout=0.2))


@pytest.mark.parametrize(("step", "model"), [("late-error", "broken"), ("truncate", "cut")])
async def test_a_stream_that_breaks_raises_instead_of_ending(ask: Ask, mock: Mock, step: str, model: str) -> None:
    mock.behave(script=[step], tokens_per_second=100)
    with pytest.raises(openai.APIError, match="the stream broke: 1 attempt: ") as caught:
        await ask(chat(model, stream=True))
    assert caught.value.code == "stream_broken"


async def test_the_client_does_not_triple_the_load_where_the_router_has_tried_already(ask: Ask, mock: Mock) -> None:
    mock.behave(script=["422"])
    with pytest.raises(openai.UnprocessableEntityError):
        await ask(lambda client: chat("odd")(client.with_options(max_retries=2)))
    assert mock.stats()["started"] == 1
    mock.behave(script=["500"])
    with pytest.raises(openai.InternalServerError):
        await ask(lambda client: chat("conflict", extra_body={"num_retries": 0})(client.with_options(max_retries=2)))
    assert mock.stats()["started"] == 2
