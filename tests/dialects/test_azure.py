from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import Deployment, Kind
from router.dialects.azure import AzureDialect, AzureOptions, EntraOptions, has_own_path
from router.dialects.base import InferenceRequest
from router.dialects.recognise import failure_of

BASE = "https://east.openai.azure.com"
DATED = "2024-10-21"
PATH = "/openai/deployments/my%20gpt%2F4/chat/completions?api-version="


def deployment(version: str = DATED, api_base: str = BASE, **more: Any) -> Deployment:
    options = AzureOptions(version, more.pop("entra", None))
    given: dict[str, Any] = {"api_keys": ("k-1",)} | more
    return Deployment("d", "gpt", "azure", "my gpt/4", api_base=api_base, options=options, **given)


def request(kind: Kind = "chat", **body: Any) -> InferenceRequest:
    whole = {"model": "gpt", "messages": []} | body
    return InferenceRequest(kind, "req-1", orjson.dumps(whole), whole, bool(body.get("stream")))


def line(place: Deployment, kind: Kind = "chat") -> str:
    return AzureDialect().encode(request(kind), place, "k-1").head.decode().partition("\r\n")[0]


@pytest.mark.parametrize(
    ("version", "api_base", "target"),
    [
        (DATED, BASE, PATH + DATED),
        (DATED, BASE + "/openai", PATH + DATED),
        (
            "2025-04-01-preview",
            BASE,
            PATH + "2025-04-01-preview",
        ),
        ("", BASE, "/openai/v1/chat/completions"),
        ("v1", BASE + "/openai/v1", "/openai/v1/chat/completions"),
        ("preview", BASE, "/openai/v1/chat/completions?api-version=preview"),
    ],
)
def test_the_path_follows_the_version(version: str, api_base: str, target: str) -> None:
    assert line(deployment(version, api_base)) == f"POST {target} HTTP/1.1"


@pytest.mark.parametrize(("kind", "path"), [("completion", "/completions"), ("embedding", "/embeddings")])
def test_every_kind_of_request_has_its_path(kind: Kind, path: str) -> None:
    assert line(deployment(), kind) == f"POST /openai/deployments/my%20gpt%2F4{path}?api-version=2024-10-21 HTTP/1.1"


def test_the_key_goes_into_its_own_field_and_the_model_is_the_deployments_name() -> None:
    wire = AzureDialect().encode(request(), deployment(), "k-1")
    assert b"\r\napi-key: k-1\r\n" in wire.head
    assert b"authorization" not in wire.head
    assert orjson.loads(wire.body)["model"] == "my gpt/4"
    assert wire.origin.host == "east.openai.azure.com"


def test_a_token_is_read_anew_for_every_request() -> None:
    tokens = iter(["t-1", "t-2"])
    identity = EntraOptions("tenant", "client", "secret")
    dialect = AzureDialect(lambda asked: next(tokens) if asked is identity else None)
    place = deployment(api_keys=(), entra=identity)
    heads = [dialect.encode(request(), place, "").head for _ in range(2)]
    assert b"\r\nauthorization: Bearer t-1\r\n" in heads[0]
    assert b"\r\nauthorization: Bearer t-2\r\n" in heads[1]
    assert b"api-key" not in heads[0]


def test_without_a_token_nothing_is_sent() -> None:
    with pytest.raises(UpstreamFailure) as failed:
        AzureDialect().encode(request(), deployment(api_keys=(), entra=EntraOptions()), "")
    assert (failed.value.kind, failed.value.message) == (FailureKind.CONNECT, "no Entra ID token")


@pytest.mark.parametrize(("version", "asked"), [("2024-06-01", False), (DATED, True), ("", True)])
def test_usage_is_asked_of_versions_that_know_how(version: str, asked: bool) -> None:
    body = orjson.loads(AzureDialect().encode(request(stream=True), deployment(version), "k").body)
    assert ("stream_options" in body) is asked


def test_a_secret_never_shows() -> None:
    assert "hush" not in repr(deployment(entra=EntraOptions(client_secret="hush")))


@pytest.mark.parametrize(
    ("status", "code", "inner", "kind"),
    [
        (400, "content_filter", "ResponsibleAIPolicyViolation", FailureKind.CONTENT_POLICY),
        (400, "content_filter", None, FailureKind.CONTENT_POLICY),
        (400, "context_length_exceeded", None, FailureKind.CONTEXT_WINDOW),
        (404, "DeploymentNotFound", None, FailureKind.NOT_FOUND),
        (401, "401", None, FailureKind.AUTH),
        (429, "429", None, FailureKind.RATE_LIMITED),
    ],
)
def test_azures_errors_are_known(status: int, code: str, inner: str | None, kind: FailureKind) -> None:
    error: dict[str, Any] = {"code": code, "message": "The response was filtered", "status": status}
    if inner is not None:
        error["innererror"] = {"code": inner, "content_filter_result": {"hate": {"filtered": True}}}
    assert failure_of(status, {}, orjson.dumps({"error": error})).kind is kind


def test_an_address_ends_with_the_resource() -> None:
    assert not any(map(has_own_path, (BASE, BASE + "/", BASE + "/openai", BASE + "/openai/v1/")))
    assert has_own_path(BASE + "/openai/deployments/x")
