from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router import __version__
from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import TLS, Deployment, Kind, Usage
from router.dialects.base import InferenceRequest, Origin, WireRequest
from router.dialects.openai import OpenAIDialect
from router.dialects.openai_stream import OpenAIStream
from router.dialects.registry import PROVIDERS
from router.edge.fields import request_id
from tests.core.making import deployment

EAST = deployment("east", model="up-model", api_base="https://east.test/v1", api_keys=("sk-east",))
CHAT = b'{"model":"gpt","messages":[{"role":"user","content":"hi"}]}'


def request(raw: bytes = CHAT, kind: Kind = "chat", id: str = "req-1", wants_usage: bool = False) -> InferenceRequest:
    body = orjson.loads(raw)
    return InferenceRequest(kind, id, raw, body, bool(body.get("stream")), wants_usage)


def encode(asked: InferenceRequest, place: Deployment = EAST, key: str = "sk-east") -> WireRequest:
    return OpenAIDialect().encode(asked, place, key)


def fields(wire: WireRequest) -> list[tuple[str, str]]:
    lines = wire.head.decode().split("\r\n")
    return [(name, value) for name, _, value in (line.partition(": ") for line in lines[1:-2])]


def test_a_simple_request_byte_for_byte() -> None:
    wire = encode(request())
    assert wire.head == (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        b"host: east.test\r\n"
        b"user-agent: llm-router/" + __version__.encode() + b"\r\n"
        b"accept-encoding: identity\r\n"
        b"content-type: application/json\r\n"
        b"authorization: Bearer sk-east\r\n"
        b"x-request-id: req-1\r\n"
        b"content-length: 64\r\n"
        b"\r\n"
    )
    assert wire.body == b'{"model":"up-model","messages":[{"role":"user","content":"hi"}]}'
    assert wire.origin == Origin("https", "east.test", 443, TLS())
    assert wire.deployment is EAST


@pytest.mark.parametrize(
    ("api_base", "line", "host", "origin"),
    [
        ("https://u.test/v1", "/v1/chat/completions", "u.test", ("https", "u.test", 443)),
        ("https://u.test/v1/", "/v1/chat/completions", "u.test", ("https", "u.test", 443)),
        ("https://u.test", "/chat/completions", "u.test", ("https", "u.test", 443)),
        ("https://u.test/", "/chat/completions", "u.test", ("https", "u.test", 443)),
        ("http://u.test:8000/a/b", "/a/b/chat/completions", "u.test:8000", ("http", "u.test", 8000)),
        ("http://u.test", "/chat/completions", "u.test", ("http", "u.test", 80)),
        ("http://[::1]:8000/v1", "/v1/chat/completions", "[::1]:8000", ("http", "::1", 8000)),
        ("https://user:pass@u.test/v1", "/v1/chat/completions", "u.test", ("https", "u.test", 443)),
    ],
)
def test_an_address_becomes_origin_host_and_path(
    api_base: str, line: str, host: str, origin: tuple[str, str, int]
) -> None:
    wire = encode(request(), deployment("a", api_base=api_base))
    assert wire.head.startswith(f"POST {line} HTTP/1.1\r\nhost: {host}\r\n".encode())
    assert wire.origin[:3] == origin
    assert b"pass" not in wire.head


@pytest.mark.parametrize(
    ("kind", "path"),
    [("chat", "/v1/chat/completions"), ("completion", "/v1/completions"), ("embedding", "/v1/embeddings")],
)
def test_each_kind_of_request_has_its_path(kind: Kind, path: str) -> None:
    assert encode(request(kind=kind)).head.startswith(f"POST {path} HTTP/1.1\r\n".encode())


def test_each_deployment_gets_its_own_credentials_headers_and_address_and_nobody_elses() -> None:
    dialect = OpenAIDialect()
    places = [
        deployment(name, api_base=f"https://{name}.test/v1", api_keys=(f"sk-{name}-1", f"sk-{name}-2"),
                   headers={"x-team": f"team-{name}"})
        for name in ("east", "west", "north")
    ]  # fmt: skip
    for _ in range(2):  # the second time from memory
        for place in places:
            for key in place.api_keys:
                head = dialect.encode(request(), place, key).head.decode()
                assert f"host: {place.id}.test\r\n" in head
                assert f"authorization: Bearer {key}\r\n" in head
                assert f"x-team: team-{place.id}\r\n" in head
                assert head.count("sk-") == head.count("team-") == 1


def test_a_reloaded_deployment_of_the_same_id_gets_a_head_of_its_own() -> None:
    dialect = OpenAIDialect()
    dialect.encode(request(), EAST, "sk-east")
    moved = deployment("east", model="up-model", api_base="https://moved.test/v1", api_keys=("sk-east",))
    assert b"host: moved.test" in dialect.encode(request(), moved, "sk-east").head


def test_models_out_of_one_wildcard_keep_their_own_names() -> None:
    dialect = OpenAIDialect()
    for name in ("m1", "m2", "m1"):
        wire = dialect.encode(request(), deployment("any", model=name), "k")
        assert orjson.loads(wire.body)["model"] == name


def test_without_a_key_nothing_is_signed() -> None:
    assert "authorization" not in dict(fields(encode(request(), key="")))


def test_configured_headers_are_sent_and_win_over_the_usual_ones() -> None:
    place = deployment("a", headers={"X-Team": "platform", "Authorization": "Basic abc", "User-Agent": "mine"})
    sent = fields(encode(request(), place, "sk-key"))
    assert ("x-team", "platform") in sent
    assert ("authorization", "Basic abc") in sent
    assert ("user-agent", "mine") in sent
    assert len({name for name, _ in sent}) == len(sent), "no name stands twice"


@example("a\r\nauthorization: Bearer mine")
@example("a\n")
@example("a\x00b")
@example("a" * 129)
@example("a: b, %0d%0a \\r\\n")
@given(st.text(max_size=20))
def test_nothing_that_a_client_gives_as_request_id_becomes_more_than_one_header(given_id: str) -> None:
    id = request_id({"X-Request-Id": given_id}, "req-fresh")
    wire = encode(request(id=id))
    assert [value for name, value in fields(wire) if name == "x-request-id"] == [id]
    assert wire.head.count(b"\r\n") == 9


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"gpt","messages":[],"temperature":1.0,"seed":12345678901234567890123}',
        b'{ "messages" : [ ] ,\n "model" : "gpt" , "t":1.10, "x":"\xc3\xa9" }',
        b'{"unknown":{"deep":[1,2.50,1e3]},"model":"gpt"}',
    ],
)
def test_only_the_model_changes_and_every_other_byte_stays(raw: bytes) -> None:
    assert encode(request(raw)).body == raw.replace(b'"gpt"', b'"up-model"')


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"gpt","user":"model","x":"\\u00e9"}',
        b'{"m\\u006fdel":"gpt"}',
        b'{"metadata":{"model":"gpt"},"model":"gpt"}',
        b'{"model":"a\\/b","model_options":{"model":1}}',
    ],
)
def test_a_model_in_an_odd_place_is_replaced_all_the_same(raw: bytes) -> None:
    assert orjson.loads(encode(request(raw)).body) == orjson.loads(raw) | {"model": "up-model"}


@pytest.mark.parametrize("name", ['q"uote', "back\\slash", "é", "new\nline", "\u2028"])
def test_an_upstream_model_of_any_name_is_written_as_json(name: str) -> None:
    assert orjson.loads(encode(request(), deployment("a", model=name)).body)["model"] == name


def body_sent(raw: bytes, wants_usage: bool = False) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(encode(request(raw, wants_usage=wants_usage)).body)
    return body


def test_a_stream_is_asked_for_its_usage() -> None:
    assert encode(request(b'{"model":"gpt","stream":true}')).body == (
        b'{"stream_options":{"include_usage":true},"model":"up-model","stream":true}'
    )


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (None, {"include_usage": True}),
        ({}, {"include_usage": True}),
        ({"include_usage": False}, {"include_usage": True}),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}),
    ],
)
def test_the_clients_own_stream_options_are_kept(options: Any, sent: Any) -> None:
    raw = orjson.dumps({"model": "gpt", "stream": True, "stream_options": options, "n": 2})
    assert body_sent(raw) == {"model": "up-model", "stream": True, "stream_options": sent, "n": 2}


def test_a_client_that_asks_for_usage_itself_has_its_bytes_left_alone() -> None:
    raw = b'{"model":"gpt","stream":true,"stream_options":{"include_usage":true}}'
    assert encode(request(raw, wants_usage=True)).body == raw.replace(b"gpt", b"up-model")


def test_a_whole_reply_is_not_asked_for_its_usage() -> None:
    assert body_sent(b'{"model":"gpt","stream":false}') == {"model": "up-model", "stream": False}


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=4),
    st.booleans(),
    st.booleans(),
)
def test_whatever_the_client_sends_travels_on(more: dict[str, Any], stream: bool, escaped: bool) -> None:
    more = {name: value for name, value in more.items() if name not in ("model", "stream", "stream_options")}
    try:
        raw = orjson.dumps(more | {"model": "gpt", "stream": stream})
    except TypeError:  # an integer beyond 64 bits, or half a surrogate
        return
    if escaped:
        raw = raw.replace(b'"model"', b'"\\u006dodel"')
    wire = encode(request(raw))
    sent = orjson.loads(wire.body)
    sent.pop("stream_options", None)
    assert sent == more | {"model": "up-model", "stream": stream}
    assert dict(fields(wire))["content-length"] == str(len(wire.body))


# Replies.


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}, Usage(3, 2)),
        ({"data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}, Usage(3, 0)),
        ({"choices": []}, None),
        ({"choices": [], "usage": None}, None),
        ({"choices": [], "usage": [1]}, None),
        ({"choices": [], "error": None}, None),
    ],
)
def test_a_whole_reply_passes_untouched_and_its_usage_is_read(body: Any, usage: Usage | None) -> None:
    raw = orjson.dumps(body, option=orjson.OPT_INDENT_2)
    reply = OpenAIDialect().reply(request(), {}, raw)
    assert reply.body == raw
    assert reply.usage == usage


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", FailureKind.BAD_REPLY),
        (b"<html>", FailureKind.BAD_REPLY),
        (b'{"choices":[', FailureKind.BAD_REPLY),
        (b"\xff\xfe", FailureKind.BAD_REPLY),
        (b"[]", FailureKind.BAD_REPLY),
        (b"null", FailureKind.BAD_REPLY),
        (b'"text"', FailureKind.BAD_REPLY),
        (b"[" * 5000, FailureKind.BAD_REPLY),
        (b'{"error":"it fell over"}', FailureKind.BAD_REPLY),
        (b'{"error":{"message":"it fell over"}}', FailureKind.BAD_REPLY),
        (b'{"error":5}', FailureKind.BAD_REPLY),
        (b'{"error":{"message":"slow down","code":429}}', FailureKind.RATE_LIMITED),
        (b'{"error":{"message":"oops","code":"502"}}', FailureKind.SERVER_ERROR),
        (b'{"object":"error","message":"oops","code":500}', FailureKind.SERVER_ERROR),
        (b'{"error":{"message":"no","code":"context_length_exceeded"}}', FailureKind.CONTEXT_WINDOW),
    ],
)
def test_a_success_that_is_none_is_a_failure(body: bytes, kind: FailureKind) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        OpenAIDialect().reply(request(), {}, body)
    assert caught.value.kind is kind


def test_a_decoder_knows_whether_the_client_wants_usage() -> None:
    frame = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
    for wants in (True, False):
        decoder = OpenAIDialect().decoder(request(wants_usage=wants), {})
        assert isinstance(decoder, OpenAIStream)
        assert decoder.feed(frame) == (frame if wants else b"")


def test_an_error_reply_becomes_facts() -> None:
    told = OpenAIDialect().failure(429, {b"retry-after": b"3"}, b"")
    assert (told.kind, told.status, told.retry_after) == (FailureKind.RATE_LIMITED, 429, 3.0)


def test_the_registry_makes_dialects_by_the_names_of_providers() -> None:
    assert set(PROVIDERS) >= {"openai", "mock"}
    assert isinstance(PROVIDERS["openai"](), OpenAIDialect)
    assert PROVIDERS["openai"]() is not PROVIDERS["openai"]()


def test_remembered_heads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.dialects.openai._HEADS_KEPT", 10)
    dialect = OpenAIDialect()
    for index in range(100):
        dialect.encode(request(), deployment("any", model=f"m{index}"), "k")
        assert len(dialect._heads) <= 10
