"""The official client's chats, served by upstreams that only complete texts; and what those were sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import openai
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from router.core.prompts import JinjaTemplate, PromptTemplate
from router.core.types import Deployment, Prices
from router.dialects.sagemaker import AwsAccount
from router.mock.server import MockServer
from tests.edge.house import House, Open, group
from tests.edge.recording import Recorded, TextServer, text_server
from tests.edge.wire import CHAT, HI, STREAM

KEYS = AwsAccount(
    "eu-central-1", access_key_id="AKIDEXAMPLE", secret_access_key="wJalrXUtnFEMI/K7", session_token="tok"
)
LLAMA_3 = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nsay hi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)


def at(server: TextServer, provider: str, **more: Any) -> Deployment:
    given: dict[str, Any] = {"model": "my endpoint", "api_keys": () if provider == "sagemaker" else ("hf-key",)} | more
    return Deployment(
        id="d", model_name="m", provider=provider, api_base=server.url, mode="completion", prices=Prices(0.001, 0.01),
        template=PromptTemplate(hf_model_name="llama-3"), options=KEYS if provider == "sagemaker" else None, **given
    )  # fmt: skip


def client(router: House) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{router.port}/v1", api_key="any", max_retries=0, timeout=20)


PROVIDERS = pytest.mark.parametrize("provider", ["huggingface", "sagemaker"])


@PROVIDERS
async def test_a_chat(house: Open, provider: str) -> None:
    async with text_server() as server, house(group(at(server, provider))) as router, client(router) as ai:
        reply = await ai.chat.completions.create(**HI, temperature=0.5, max_tokens=7)
        assert (reply.object, reply.model) == ("chat.completion", "m")
        assert reply.choices[0].message.content == "Hello there!"
        assert (reply.choices[0].message.role, reply.choices[0].finish_reason) == ("assistant", "stop")
        assert reply.usage is not None
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (9, 3, 12)
        assert reply.created > 1_700_000_000
        sent = server.requests[-1].body
        assert sent == {
            "inputs": LLAMA_3,
            "parameters": {"details": True, "return_full_text": False, "temperature": 0.5, "do_sample": True,
                           "max_new_tokens": 7, "stop": ["<|eot_id|>"]},
        }  # fmt: skip


@PROVIDERS
async def test_a_stream(house: Open, provider: str) -> None:
    async with text_server() as server, house(group(at(server, provider))) as router, client(router) as ai:
        stream = await ai.chat.completions.create(**HI, stream=True, stream_options={"include_usage": True})
        *chunks, last = [chunk async for chunk in stream]
        assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hello", " there", "!", None]
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert last.usage is not None
        assert (last.choices, last.usage.prompt_tokens, last.usage.completion_tokens) == ([], 9, 3)
        stream = await ai.chat.completions.create(**HI, stream=True)
        assert all([chunk.usage is None async for chunk in stream])


@PROVIDERS
async def test_a_legacy_completion(house: Open, provider: str) -> None:
    async with text_server() as server, house(group(at(server, provider))) as router, client(router) as ai:
        reply = await ai.completions.create(model="m", prompt="Say hi", stop="!")
        assert (reply.choices[0].text, reply.object) == ("Hello there", "text_completion")
        assert server.requests[-1].body["inputs"] == "Say hi"
        stream = await ai.completions.create(model="m", prompt="Say hi", stream=True, stop="!")
        assert "".join([chunk.choices[0].text async for chunk in stream]) == "Hello there"


@PROVIDERS
@pytest.mark.parametrize("stream", [False, True])
async def test_counts_come_from_headers_where_details_have_none_and_else_are_estimated(
    house: Open, provider: str, stream: bool
) -> None:
    told = {"x-prompt-tokens": "11", "x-generated-tokens": "5"}
    for headers, counts, estimated in ((told, (11, 5), False), ({}, (-(-len(LLAMA_3) // 4), 3), True)):
        server = text_server(details={"finish_reason": "length"}, headers=headers)
        async with server as upstream, house(group(at(upstream, provider))) as router, client(router) as ai:
            if stream:
                options: Any = {"stream": True, "stream_options": {"include_usage": True}}
                chunks = [chunk async for chunk in await ai.chat.completions.create(**HI, **options)]
                usage, finish = chunks[-1].usage, chunks[-2].choices[0].finish_reason
            else:
                reply = await ai.chat.completions.create(**HI)
                usage, finish = reply.usage, reply.choices[0].finish_reason
            assert usage is not None
            assert (usage.prompt_tokens, usage.completion_tokens) == counts
            assert (usage.model_extra or {}).get("estimated", False) is estimated
            assert finish == "length"
            line = (await router.log_lines())[-1]
            assert line["usage_estimated"] is estimated
            assert line["cost"] == pytest.approx(counts[0] * 0.001 + counts[1] * 0.01)


async def test_tgi_has_a_path_for_each_and_its_key_as_bearer(house: Open) -> None:
    async with text_server() as server, house(group(at(server, "huggingface"))) as router:
        await router.ask(CHAT, HI)
        await router.ask(CHAT, STREAM)
        assert [sent.path for sent in server.requests] == ["/generate", "/generate_stream"]
        assert {sent.headers["authorization"] for sent in server.requests} == {"Bearer hf-key"}


def signature(sent: Recorded, account: AwsAccount) -> str:
    """The one that botocore would make for what has arrived."""
    named = sent.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    fields = {name: sent.headers[name] for name in named if name not in ("x-amz-date", "x-amz-security-token")}
    asked = AWSRequest(sent.method, f"http://{sent.headers['host']}{sent.path}", fields, sent.raw)
    asked.context["timestamp"] = sent.headers["x-amz-date"]
    asked.headers["X-Amz-Date"] = sent.headers["x-amz-date"]
    asked.headers["X-Amz-Security-Token"] = account.session_token
    keys = Credentials(account.access_key_id, account.secret_access_key, account.session_token)
    signer = SigV4Auth(keys, "sagemaker", account.region)
    return str(signer.signature(signer.string_to_sign(asked, signer.canonical_request(asked)), asked))


@pytest.mark.parametrize(("body", "path"), [(HI, "invocations"), (STREAM, "invocations-response-stream")])
async def test_every_request_to_sagemaker_is_signed_as_it_arrives(house: Open, body: Any, path: str) -> None:
    async with text_server() as server, house(group(at(server, "sagemaker"))) as router:
        assert (await router.ask(CHAT, body | {"seed": 1})).status == 200
        (sent,) = server.requests
    assert sent.path == f"/endpoints/my%20endpoint/{path}"
    scope, signed, given = sent.headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(", ")
    assert scope.startswith("Credential=AKIDEXAMPLE/")
    assert scope.endswith("/eu-central-1/sagemaker/aws4_request")
    assert {"host", "content-type", "x-amz-date", "x-amz-security-token"} <= set(signed[14:].split(";"))
    assert sent.headers["x-amz-security-token"] == "tok"
    assert given == f"Signature={signature(sent, KEYS)}"
    assert signature(Recorded(sent.method, sent.path, sent.headers, sent.raw + b" "), KEYS) not in given


async def test_ambient_credentials_are_found_where_none_are_configured(
    house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDAMBIENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    async with text_server() as server:
        place = Deployment(id="d", model_name="m", provider="sagemaker", model="e", api_base=server.url,
                           mode="completion", template=PromptTemplate(), options=AwsAccount("us-east-1"))  # fmt: skip
        async with house(group(place)) as router:
            assert (await router.ask(CHAT, HI)).status == 200
            assert "Credential=AKIDAMBIENT/" in server.requests[-1].headers["authorization"]


async def test_without_credentials_the_client_hears_that_the_routers_own_are_missing(
    house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    async with text_server() as server:
        place = Deployment(id="d", model_name="m", provider="sagemaker", model="e", api_base=server.url,
                           mode="completion", template=PromptTemplate(), options=AwsAccount("us-east-1"))  # fmt: skip
        async with house(group(place)) as router:
            seen = await router.ask(CHAT, HI)
            assert (seen.status, seen.error()["code"]) == (502, "upstream_auth_error")
            assert server.requests == []


TOO_LONG = (
    b'{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096","error_type":"validation"}'
)
FROM_MODEL = (
    b'{"ErrorCode":"CLIENT_ERROR_FROM_MODEL","Message":"Received client error (422)","OriginalStatusCode":422,'
    b'"OriginalMessage":"{\\"error\\":\\"Input validation error: `inputs` must have less than 2048 tokens.\\"}"}'
)


@pytest.mark.parametrize(
    ("provider", "status", "body", "headers", "told"),
    [
        ("huggingface", 422, TOO_LONG, {}, (422, "context_length_exceeded")),
        ("huggingface", 422, b'{"error":"`top_k` must be strictly positive"}', {}, (422, "invalid_request_error")),
        ("huggingface", 429, b'{"error":"Model is overloaded"}', {}, (429, "rate_limit_exceeded")),
        ("huggingface", 500, b"oops", {}, (502, "upstream_error")),
        ("sagemaker", 424, FROM_MODEL, {}, (422, "context_length_exceeded")),
        ("sagemaker", 424, b'{"OriginalStatusCode":500,"OriginalMessage":"oops"}', {}, (502, "upstream_error")),
        ("sagemaker", 400, b'{"message":"Rate exceeded"}', {"x-amzn-errortype": "ThrottlingException:http://x/"},
         (429, "rate_limit_exceeded")),
        ("sagemaker", 400, b'{"message":"1 validation error"}', {"x-amzn-errortype": "ValidationException"},
         (400, "invalid_request_error")),
        ("sagemaker", 403, b'{"message":"The security token is invalid"}', {}, (502, "upstream_auth_error")),
        ("sagemaker", 424, b"<html>", {}, (502, "upstream_error")),
    ],
)  # fmt: skip
async def test_an_error_of_theirs_means_what_it_says(
    house: Open, provider: str, status: int, body: bytes, headers: dict[str, str], told: tuple[int, str]
) -> None:
    code = headers.get("x-amzn-errortype")  # of those that are passed through
    server = text_server(status=status, error=body, headers=headers)
    async with server as upstream, house(group(at(upstream, provider), num_retries=0)) as router:
        seen = await router.ask(CHAT, HI)
        assert seen.status == told[0]
        assert seen.error()["code"] == (told[1] if told[1] != "invalid_request_error" else code)
        (line,) = await router.log_lines()
        assert line["error"] == told[1]


@pytest.mark.parametrize(
    ("broken", "status", "reason"),
    [
        ("ModelStreamError", 502, "server_error"),
        ("InternalStreamFailure", 502, "server_error"),
        ("ThrottlingException", 429, "rate_limited"),
        ("SomethingElse", 502, "bad_reply"),
    ],
)
async def test_an_exception_in_the_middle_of_a_stream_ends_it_as_an_error(
    house: Open, broken: str, status: int, reason: str
) -> None:
    async with text_server(broken=broken) as server, house(group(at(server, "sagemaker"), num_retries=0)) as router:
        seen = await router.ask(CHAT, STREAM)
        assert b"[DONE]" not in seen.body
        assert b"stream_broken" in seen.body or seen.status == status
        name = f'router_attempts_total{{deployment="d",model="m",outcome="{reason}"}}'
        assert await router.metric(name) == 1


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"temperature": 0}, {"do_sample": False}),
        ({"top_p": 1}, {}),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}}},
         {"grammar": {"type": "json", "value": {"type": "array"}}}),
        ({"seed": 3, "frequency_penalty": 0.5}, {"seed": 3, "frequency_penalty": 0.5}),
    ],
)  # fmt: skip
async def test_what_tgi_says_in_other_words(house: Open, asked: Any, sent: Any) -> None:
    async with text_server() as server, house(group(at(server, "huggingface"))) as router:
        assert (await router.ask(CHAT, HI | asked)).status == 200
        parameters = server.requests[-1].body["parameters"]
        usual = ("details", "return_full_text", "max_new_tokens", "stop")
        assert {name: value for name, value in parameters.items() if name not in usual} == sent


async def test_chat_by_any_completions_endpoint_with_the_official_client(house: Open) -> None:
    async with MockServer() as mock:
        place = Deployment(id="d", model_name="m", provider="vllm", model="up", api_base=mock.url, mode="completion",
                           template=PromptTemplate(hf_model_name="mistral"))  # fmt: skip
        async with house(group(place)) as router, client(router) as ai:
            reply = await ai.chat.completions.create(**HI)
            assert reply.choices[0].message.content == "Hello from up! You said: <s>[INST] say hi [/INST]"
            stream = await ai.chat.completions.create(**HI, stream=True)
            said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            assert said == "Hello from up! You said: <s>[INST] say hi [/INST]"


async def test_an_image_is_a_400_that_names_the_messages(house: Open) -> None:
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    async with text_server() as server, house(group(at(server, "huggingface"))) as router, client(router) as ai:
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.chat.completions.create(model="m", messages=[{"role": "user", "content": image}])  # type: ignore[list-item,misc]
        assert caught.value.param == "messages"
        assert server.requests == []


async def test_an_unknown_template_is_a_400_and_says_nothing_about_the_deployment(house: Open) -> None:
    async with text_server() as server, house(group(at(server, "huggingface"))) as router, client(router) as ai:
        for _ in range(20):
            with pytest.raises(openai.BadRequestError) as caught:
                await ai.chat.completions.create(**HI, extra_body={"hf_model_name": "gpt2"})
            assert caught.value.param == "hf_model_name"
        assert (await ai.chat.completions.create(**HI)).choices[0].message.content == "Hello there!"
        assert len(server.requests) == 1


NAMED = {
    "mine": JinjaTemplate(
        "mine",
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}|{{ m.content }}]{% endfor %}",
        "<s>",
        "</s>",
        ("END",),
    ),
    "strict": JinjaTemplate("strict", "{{ raise_exception('no system here') }}"),
    "endless": JinjaTemplate(
        "endless", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    ),
}


async def test_a_template_of_the_operators_shapes_the_prompt_by_the_name_that_either_gives(house: Open) -> None:
    async with text_server() as server:
        place = replace(at(server, "huggingface"), template=PromptTemplate(hf_model_name="mine", named=NAMED))
        async with house(group(place)) as router, client(router) as ai:
            await ai.chat.completions.create(**HI)
            sent = server.requests[-1].body
            assert (sent["inputs"], sent["parameters"]["stop"]) == ("<s>[user|say hi]", ["END", "</s>"])
            await ai.chat.completions.create(**HI, extra_body={"bos_token": "<B>", "eos_token": ""})
            sent = server.requests[-1].body
            assert (sent["inputs"], sent["parameters"]["stop"]) == ("<B>[user|say hi]", ["END"])
            await ai.chat.completions.create(**HI, extra_body={"hf_model_name": "gemma"})
            assert server.requests[-1].body["inputs"].startswith("<bos><start_of_turn>user")


async def test_a_template_that_refuses_or_fails_is_an_answer_and_no_fault_of_the_deployments(house: Open) -> None:
    async with text_server() as server:
        place = replace(at(server, "huggingface"), template=PromptTemplate(hf_model_name="mine", named=NAMED))
        async with house(group(place)) as router, client(router) as ai:
            with pytest.raises(openai.BadRequestError, match="no system here") as refused:
                await ai.chat.completions.create(**HI, extra_body={"hf_model_name": "strict"})
            assert refused.value.param == "messages"
            with pytest.raises(openai.InternalServerError, match="took longer than 1 s") as failed:
                await ai.chat.completions.create(**HI, extra_body={"hf_model_name": "endless"})
            assert failed.value.code == "template_failed"
            assert (await ai.chat.completions.create(**HI)).choices[0].message.content == "Hello there!"
            assert len(server.requests) == 1
            for outcome in ("ok", "refused", "slow"):
                assert await router.metric(f'router_template_renderings_total{{outcome="{outcome}"}}') == 1
