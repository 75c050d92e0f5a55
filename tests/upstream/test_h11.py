"""h11, the reference for what HTTP/1.1 is, as the other party: it reads what we send, and we read what it sends."""

from __future__ import annotations

import asyncio

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.core.types import Deployment
from router.dialects.base import InferenceRequest, Origin, WireRequest
from router.dialects.openai import OpenAIDialect
from router.upstream.client import HttpUpstream
from router.upstream.framing import Limits, ResponseReader
from router.upstream.proxy import Forward, Proxy
from router.upstream.refusal import Malformed
from tests.upstream.scripted import DEPLOYMENT, ORIGIN, ScriptedNetwork, timing
from tests.upstream.test_attacks import ATTACKS
from tests.upstream.test_framing_property import NAMES, PLACES, VALUES, cut, responses
from tests.upstream.test_transcripts import REPLIES
from tests.upstream.test_uploads import Client
from tests.virtual_time import VirtualTimeLoop

# What we send.

PIECES = st.lists(st.binary(min_size=1, max_size=100), max_size=6)


def as_server(data: bytes) -> tuple[h11.Request, bytes]:
    """One whole request as h11 reads it, and nothing behind it."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    body = b""
    while not isinstance(event := server.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += event.data
    assert server.trailing_data == (b"", False)
    return request, body


def sent(wire: WireRequest) -> bytes:
    """What goes over the socket."""
    network = ScriptedNetwork([[60.0, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]])

    async def send() -> None:
        upstream = HttpUpstream(dial=network)
        await upstream.send(wire, timing())
        await upstream.close()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(send())
    return b"".join(network.transports[0].sent)


@given(st.binary(max_size=200), st.text(max_size=30), st.booleans())
def test_a_server_reads_a_request_as_it_was_meant(noise: bytes, model: str, stream: bool) -> None:
    dialect = OpenAIDialect()
    deployment = Deployment("d", "m", "openai", model, "https://upstream.test/v1", headers={"x-team": "a b"})
    raw = b'{"model":"m","messages":[],"noise":"%b"}' % noise.hex().encode()
    body = {"model": "m", "messages": [], "noise": noise.hex()}
    wire = dialect.encode(InferenceRequest("chat", "req-1", raw, body, stream), deployment, "sk-1")
    request, received = as_server(sent(wire))
    assert (request.method, request.target, received) == (b"POST", b"/v1/chat/completions", wire.body)
    fields = dict(request.headers)
    assert len(fields) == len(list(request.headers)), "no field comes twice"
    assert (fields[b"host"], fields[b"accept-encoding"]) == (b"upstream.test", b"identity")
    assert (fields[b"authorization"], fields[b"x-team"]) == (b"Bearer sk-1", b"a b")
    assert b"expect" not in fields


@given(PIECES, st.booleans())
def test_a_server_reads_a_streamed_body_as_it_came(pieces: list[bytes], chunked: bool) -> None:
    whole = b"".join(pieces)
    source = Client(*pieces, length=None if chunked else len(whole))
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(whole)
    head = b"POST / HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % framing
    _, received = as_server(sent(WireRequest(ORIGIN, head, b"", DEPLOYMENT, source)))
    assert received == whole


@given(st.sampled_from(["a.test", "2001:db8::1", "192.0.2.1"]), st.integers(1, 65535), st.binary(max_size=30))
def test_a_proxy_reads_a_request_that_is_to_be_passed_on(host: str, port: int, secret: bytes) -> None:
    proxy = Proxy("p", 1, b"Basic " + secret.hex().encode() if secret else b"")
    head = Forward(Origin("http", host, port), proxy).head(b"POST /v1 HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n")
    request, body = as_server(head + b"x")
    authority = (f"[{host}]" if ":" in host else host) + ("" if port == 80 else f":{port}")
    assert (request.target, body) == (f"http://{authority}/v1".encode(), b"x")
    assert dict(request.headers).get(b"proxy-authorization", b"") == proxy.authorization


# What we read.


def ours(pieces: list[bytes]) -> tuple[int, bytes] | None:
    """Status and body as we read them, up to the end of the connection; None: refused, or cut short."""
    reader = ResponseReader(Limits())
    reader.expect()
    body = b""
    try:
        for piece in pieces:
            if reader.complete:
                break
            reader.feed(piece)
            if reader.streams and reader.parts:
                body += reader.take()
        if not reader.eof():
            return None
        return reader.status, body if reader.streams else reader.body()
    except Malformed:
        return None


def h11_s(pieces: list[bytes]) -> tuple[int, bytes] | None:
    """The same by h11, as a client that has sent a POST."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=65536)
    client.send(h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", "0")]))
    client.send(h11.EndOfMessage())
    status, body = 0, b""
    feed = [*pieces, b""]
    try:
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                if not feed:
                    return None
                client.receive_data(feed.pop(0))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return status, bytes(body)
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return None
    except h11.RemoteProtocolError:
        return None


@given(
    st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    st.lists(st.tuples(NAMES, VALUES.map(lambda value: value.strip(b" \t"))), max_size=6),
    PIECES,
    st.sampled_from(["length", "chunked"]),
    PLACES,
)
def test_we_read_what_h11_writes(
    status: int, fields: list[tuple[str, bytes]], pieces: list[bytes], framing: str, places: list[int]
) -> None:
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
    server.next_event()
    server.next_event()
    whole = b"".join(pieces)
    framed = (b"content-length", b"%d" % len(whole)) if framing == "length" else (b"transfer-encoding", b"chunked")
    head = [*((name.encode(), value) for name, value in fields), framed]
    try:
        text = server.send(h11.InformationalResponse(status_code=103, headers=[])) or b""
        text += server.send(h11.Response(status_code=status, headers=head)) or b""
    except h11.LocalProtocolError:
        return  # a value that h11 does not write
    for piece in pieces:
        text += server.send(h11.Data(data=piece)) or b""
    text += server.send(h11.EndOfMessage(headers=[("x-checksum", "1")] if framing == "chunked" else [])) or b""
    assert ours([text]) == (status, whole)
    assert ours(cut(text, places)) == (status, whole)


@given(responses(), PLACES)
def test_we_and_h11_read_the_same_in_any_valid_response(
    response: tuple[bytes, int, list[tuple[bytes, bytes]], bytes, bool], places: list[int]
) -> None:
    pieces = cut(response[0], places)
    theirs = h11_s(pieces)
    if theirs is not None:
        assert ours(pieces) == theirs


# Hostile input: what h11 refuses we refuse, and what we take h11 reads in the same way.


@pytest.mark.parametrize("name", REPLIES)
def test_every_good_transcript_is_good_for_h11_too(name: str) -> None:
    reply = REPLIES[name]
    assert h11_s([reply.text]) == (reply.status, reply.body)


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_passes_here_whatever_h11_says(name: str) -> None:
    assert ours([ATTACKS[name]]) is None


WRONG = b'\0\t\n\x0b\r ",-0159:;AFacx\x7f\x80'


@pytest.mark.parametrize("name", REPLIES)
def test_whatever_byte_is_wrong_we_take_nothing_that_h11_refuses_or_reads_otherwise(name: str) -> None:
    text = REPLIES[name].text
    for place in range(len(text)):
        for byte in WRONG[place % 2 :: 2]:
            damaged = text[:place] + bytes([byte]) + text[place + 1 :]
            taken = ours([damaged])
            assert taken is None or h11_s([damaged]) == taken, damaged


@given(responses(), st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 1))
@example((b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, [], b"x", False), 0, 0, 0)
def test_the_same_for_any_response_and_a_byte_that_is_wrong_or_missing(
    response: tuple[bytes, int, list[tuple[bytes, bytes]], bytes, bool], where: int, byte: int, missing: int
) -> None:
    text = response[0]
    place = where % len(text)
    damaged = text[:place] + bytes([byte])[missing:] + text[place + 1 :]
    taken = ours([damaged] if damaged else [])
    assert taken is None or h11_s([damaged]) == taken
