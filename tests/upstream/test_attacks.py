"""Replies that could be read two ways, or have no end: each is a PROTOCOL failure and costs the connection."""

from __future__ import annotations

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.upstream.client import HttpUpstream
from router.upstream.framing import Limits
from router.upstream.refusal import Malformed, Refusal
from tests.upstream.scripted import EOF, LAST, OK, SSE, ScriptedNetwork, Step, chunk, fetch
from tests.virtual_time import virtual_time

H = b"HTTP/1.1 200 OK\r\n"
L = b"content-length: 1\r\n\r\nx"
C = H + b"transfer-encoding: chunked\r\n\r\n"

ATTACKS = {
    # lengths
    "a length and chunks": H + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": H + b"transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n0\r\n\r\n",
    "two lengths": H + b"content-length: 1\r\ncontent-length: 2\r\n\r\nx",
    "the same length twice": H + b"content-length: 1\r\nContent-Length: 1\r\n\r\nx",
    "a list of lengths": H + b"content-length: 1, 1\r\n\r\nx",
    "a length with a sign": H + b"content-length: +1\r\n\r\nx",
    "a negative length": H + b"content-length: -1\r\n\r\nx",
    "a hexadecimal length": H + b"content-length: 0x1\r\n\r\nx",
    "two numbers for a length": H + b"content-length: 1 1\r\n\r\nx",
    "an empty length": H + b"content-length:\r\n\r\nx",
    "a length beyond all numbers": H + b"content-length: 99999999999999999999999\r\n\r\nx",
    # transfer codings
    "gzip": H + b"transfer-encoding: gzip\r\n\r\nx",
    "gzip in chunks": H + b"transfer-encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunks that are not last": H + b"transfer-encoding: chunked, gzip\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunked twice": H + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "identity": H + b"transfer-encoding: identity\r\n\r\nx",
    "almost chunked": H + b"transfer-encoding: xchunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunked with a parameter": H + b"transfer-encoding: chunked;q=1\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunked behind a comma": H + b"transfer-encoding: ,chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunked and a tab": H + b"transfer-encoding: chunked\t\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunked and a space": H + b"transfer-encoding: chunked \r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "another transfer coding for no content": b"HTTP/1.1 204 No Content\r\ntransfer-encoding: gzip\r\n\r\n",
    "an empty transfer coding": H + b"transfer-encoding:\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    # chunks
    "a chunk size with a bare line feed": C + b"1\nx\r\n0\r\n\r\n",
    "chunk data with a bare line feed": C + b"1\r\nx\n0\r\n\r\n",
    "chunk data longer than its size": C + b"1\r\nxy\r\n0\r\n\r\n",
    "chunk data without an end": C + b"1\r\nx0\r\n\r\n",
    "a space behind a chunk size": C + b"1 \r\nx\r\n0\r\n\r\n",
    "a space before a chunk size": C + b" 1\r\nx\r\n0\r\n\r\n",
    "a chunk size with a prefix": C + b"0x1\r\nx\r\n0\r\n\r\n",
    "a chunk size with a sign": C + b"+1\r\nx\r\n0\r\n\r\n",
    "a chunk size with an underscore": C + b"1_0\r\nx\r\n0\r\n\r\n",
    "no chunk size": C + b"\r\nx\r\n0\r\n\r\n",
    "a chunk size beyond all numbers": C + b"fffffffffffffffff\r\nx\r\n0\r\n\r\n",
    "a line feed in a chunk extension": C + b"1;a\nb\r\nx\r\n0\r\n\r\n",
    "a carriage return in a chunk extension": C + b"1;a\rb\r\nx\r\n0\r\n\r\n",
    "a NUL in a chunk extension": C + b"1;a\0b\r\nx\r\n0\r\n\r\n",
    "a trailer with a bare line feed": C + b"1\r\nx\r\n0\r\na: b\n\r\n",
    "a trailer that gives a length": C + b"1\r\nx\r\n0\r\ncontent-length: 1\r\n\r\n",
    # lines and fields
    "bare line feeds": b"HTTP/1.1 200 OK\ncontent-length: 1\n\nx",
    "a bare line feed behind the status": b"HTTP/1.1 200 OK\n" + L,
    "a bare line feed behind a field": H + b"a: b\n" + L,
    "a bare line feed behind the head": H + b"content-length: 1\r\n\nx",
    "a bare carriage return behind the head": H + b"content-length: 1\r\n\rx",
    "a bare carriage return in a value": H + b"a: b\rc\r\n" + L,
    "a folded field": H + b"a: b\r\n c\r\n" + L,
    "a folded length": H + b"content-length: 1\r\n 2\r\n\r\nx",
    "a fold behind the status": H + b" a: b\r\n" + L,
    "a NUL in a value": H + b"a: b\0c\r\n" + L,
    "a NUL in a name": H + b"a\0b: c\r\n" + L,
    "a NUL in the status line": b"HTTP/1.1 200 O\0K\r\n" + L,
    "a control character in the status line": b"HTTP/1.1 200 O\x0bK\r\n" + L,
    "a delete character in the status line": b"HTTP/1.1 200 \x7f\r\n" + L,
    "a control character in a value": H + b"a: b\x01c\r\n" + L,
    "a space before the colon": H + b"content-length : 1\r\n\r\nx",
    "a name of nothing": H + b": a\r\n" + L,
    "a line without a colon": H + b"abc\r\n" + L,
    "a name beyond ASCII": H + b"caf\xc3\xa9: a\r\n" + L,
    # status lines
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\n" + L,
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n" + L,
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n" + L,
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an HTTP/2 frame": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80",
    "RTSP": b"RTSP/1.0 200 OK\r\n" + L,
    "ICE": b"ICE/1.0 200 OK\r\n" + L,
    "no protocol at all": b"hello\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02F",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "small letters": b"http/1.1 200 OK\r\n" + L,
    "a line break before the status line": b"\r\n" + H + L,
    "a status of two digits": b"HTTP/1.1 20 OK\r\n" + L,
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n" + L,
    "status 000": b"HTTP/1.1 000 OK\r\n" + L,
    "status 099": b"HTTP/1.1 099 OK\r\n" + L,
    "status 600": b"HTTP/1.1 600 OK\r\n" + L,
    "two spaces before the status": b"HTTP/1.1  200 OK\r\n" + L,
    # interim responses
    "a switch of protocols": b"HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc",
    "a bare switch of protocols": b"HTTP/1.1 101 Go\r\n\r\n" + OK,
    "an interim response with a length": b"HTTP/1.1 100 Continue\r\ncontent-length: 3\r\n\r\nabc" + OK,
    "an interim response that claims a length": b"HTTP/1.1 100 Continue\r\ncontent-length: 3\r\n\r\n" + OK,
    "an interim response that claims chunks": b"HTTP/1.1 100 Continue\r\ntransfer-encoding: chunked\r\n\r\n" + OK,
    "an interim response in chunks": b"HTTP/1.1 103 Hints\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + OK,
    "an interim response that closes": b"HTTP/1.1 103 Hints\r\nconnection: close\r\n\r\n" + OK,
    "nine interim responses": b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + OK,
    "another protocol behind an interim response": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/2.0 200 OK\r\n" + L,
    # contents
    "gzip that nobody asked for": H + b"content-encoding: gzip\r\n" + L,
    "a coding of codings": H + b"content-encoding: identity, br\r\n" + L,
    "a stream in gzip": SSE[:-2] + b"content-encoding: gzip\r\n\r\n" + chunk(b"x") + LAST,
}

each_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


async def refuse(*steps: Step, limits: Limits | None = None, says: str = "") -> None:
    network = ScriptedNetwork([[*steps, EOF]])
    upstream = HttpUpstream(dial=network, limits=limits)
    with pytest.raises(UpstreamFailure) as caught:
        await fetch(network, upstream)
    assert caught.value.kind is FailureKind.PROTOCOL
    assert caught.value.message.startswith("malformed response: ")
    assert says in caught.value.message
    cause = caught.value.__cause__
    assert isinstance(cause, Malformed)
    assert {reason: count for reason, count in upstream.counters.refused.items() if count} == {cause.reason: 1}
    assert (network.open, repr(upstream.pool)) == (0, "<Pool empty>")


@each_attack
@virtual_time
async def test_an_attack_in_one_read(attack: bytes) -> None:
    await refuse(attack)


@each_attack
@virtual_time
async def test_an_attack_one_byte_at_a_time(attack: bytes) -> None:
    await refuse(*(attack[i : i + 1] for i in range(len(attack))))


@each_attack
@virtual_time
async def test_an_attack_cut_in_two_at_every_byte(attack: bytes) -> None:
    for cut in range(1, len(attack)):
        await refuse(attack[:cut], attack[cut:])


SMALL = Limits(head=200, fields=4, interim=2, body=10)


def fields(count: int, name: bytes = b"x%d") -> bytes:
    return b"".join((name % i if b"%" in name else name) + b": 1\r\n" for i in range(count))


PAST_LIMITS: dict[str, tuple[bytes, str]] = {
    "a long head": (H + b"a: %s\r\n" % (b"x" * 200) + L, "head"),
    "a long name": (H + b"%s: a\r\n" % (b"x" * 200) + L, "head"),
    "a head without an end": (H + b"a: " + b"x" * 500, "head"),
    "a status line without an end": (b"HTTP/1.1 200 " + b"x" * 500, "head"),
    "many interim heads": ((b"HTTP/1.1 103 Hints\r\na: %s\r\n\r\n" % (b"x" * 150)) * 3 + OK, ""),
    "many fields": (H + fields(4) + L, "header fields"),
    "many fields of one name": (H + fields(5, b"a") + L, "header fields"),
    "many interim responses": (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK, "interim"),
    "a long length": (H + b"content-length: 11\r\n\r\n", "body"),
    "a long body in one chunk": (C + chunk(b"x" * 11) + LAST, "body"),
    "a long body in small chunks": (C + chunk(b"x") * 11 + LAST, "body"),
    "a body without an end": (C + chunk(b"x") * 1000, "body"),
    "a long body until the connection closes": (H + b"\r\n" + b"x" * 11, "body"),
    "a long error": (b"HTTP/1.1 500 Oops\r\ncontent-length: 11\r\n\r\n", "body"),
    "an extension without an end": (C + b"1;" + b"a" * 500, "framing"),
    "trailers without an end": (C + b"1\r\nx\r\n0\r\n" + fields(100), "framing"),
    "a stream's trailers without an end": (SSE + chunk(b"x") + b"0\r\n" + fields(100), "framing"),
}


@pytest.mark.parametrize(("text", "says"), PAST_LIMITS.values(), ids=PAST_LIMITS)
@pytest.mark.parametrize("size", [1, 7, 100])
@virtual_time
async def test_what_goes_past_a_limit_is_refused_at_the_limit(text: bytes, says: str, size: int) -> None:
    await refuse(*(text[i : i + size] for i in range(0, len(text), size)), limits=SMALL, says=says)


WITHIN_LIMITS = {
    "a head": H + b"a: %s\r\n" % (b"x" * 140) + L,
    "fields": H + fields(3) + L,
    "fields of one name": H + fields(3, b"a") + L,
    "interim responses": b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + H + L,
    "a length": H + b"content-length: 10\r\n\r\n" + b"x" * 10,
    "a length of a body that is not sent": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 11\r\n\r\n",
    "a body in small chunks": C + chunk(b"x") * 10 + LAST,
    "an extension": C + b"1;" + b"a" * 140 + b"\r\nx\r\n" + LAST,
    "a stream, however long": SSE + chunk(b"data: 1\n\n") * 1000 + LAST,
    "a stream with a length, however long": H
    + b"content-type: text/event-stream\r\ncontent-length: 5000\r\n\r\n"
    + b"x" * 5000,
}


@pytest.mark.parametrize("text", WITHIN_LIMITS.values(), ids=WITHIN_LIMITS)
@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
@virtual_time
async def test_what_stays_within_the_limits_is_taken(text: bytes, size: int) -> None:
    network = ScriptedNetwork([[text[i : i + size] for i in range(0, len(text), size)]])
    response, _ = await fetch(network, HttpUpstream(dial=network, limits=SMALL))
    assert response.status == int(text[9:12] if text[9:10] != b"1" else 200)


@virtual_time
async def test_a_head_far_past_the_limit_in_one_read_is_refused_too() -> None:
    await refuse(H + b"a: %s\r\n" % (b"x" * 66_000) + L, says="head")
    await refuse(H + fields(257) + L, says="header fields")


@virtual_time
async def test_a_large_body_right_behind_the_head_does_not_count_as_head() -> None:
    body = b"x" * 200_000
    network = ScriptedNetwork([[H + b"content-length: %d\r\n\r\n" % len(body) + body]])
    _, received = await fetch(network)
    assert received == body


@virtual_time
async def test_a_stream_that_turns_into_nonsense_ends_with_the_failure_after_all_that_was_sound() -> None:
    network = ScriptedNetwork([[SSE + chunk(b"data: 1\n\n"), chunk(b"data: 2\n\n") + b"nonsense"]])
    upstream = HttpUpstream(dial=network)
    with pytest.raises(UpstreamFailure, match="malformed"):
        await fetch(network, upstream)
    assert network.open == 0


@virtual_time
async def test_a_failure_quotes_nothing_of_what_was_received() -> None:
    network = ScriptedNetwork([[b"http://10.1.2.3/secret"]])
    with pytest.raises(UpstreamFailure) as caught:
        await fetch(network)
    assert "10.1.2.3" not in str(caught.value)


REASONS = {
    "bare line feeds": Refusal.SYNTAX,
    "a folded field": Refusal.SYNTAX,
    "a NUL in a value": Refusal.SYNTAX,
    "a NUL in the status line": Refusal.SYNTAX,
    "two lengths": Refusal.LENGTH,
    "a list of lengths": Refusal.LENGTH,
    "an empty length": Refusal.LENGTH,
    "a length beyond all numbers": Refusal.LENGTH,
    "a length and chunks": Refusal.TRANSFER_CODING,
    "chunks and a length": Refusal.TRANSFER_CODING,
    "gzip in chunks": Refusal.TRANSFER_CODING,
    "chunked and a tab": Refusal.TRANSFER_CODING,
    "an empty transfer coding": Refusal.TRANSFER_CODING,
    "a space behind a chunk size": Refusal.CHUNK,
    "a chunk size beyond all numbers": Refusal.CHUNK,
    "a NUL in a chunk extension": Refusal.CHUNK,
    "chunk data without an end": Refusal.CHUNK,
    "HTTP/1.2": Refusal.NOT_HTTP,
    "an HTTP/2 frame": Refusal.NOT_HTTP,
    "no protocol at all": Refusal.NOT_HTTP,
    "status 099": Refusal.STATUS,
    "a status of two digits": Refusal.STATUS,
    "a status of four digits": Refusal.STATUS,
    "a switch of protocols": Refusal.STATUS,
    "nine interim responses": Refusal.INTERIM,
    "an interim response with a length": Refusal.INTERIM,
    "gzip that nobody asked for": Refusal.CONTENT_CODING,
    "a stream in gzip": Refusal.CONTENT_CODING,
}
PAST = {
    "a long head": Refusal.HEAD_SIZE,
    "an extension without an end": Refusal.HEAD_SIZE,
    "many fields": Refusal.FIELD_COUNT,
    "a long error": Refusal.BODY_SIZE,
}


@pytest.mark.parametrize("name", [*REASONS, *PAST])
@virtual_time
async def test_each_refusal_is_counted_by_its_reason(name: str) -> None:
    text, limits = (ATTACKS[name], None) if name in REASONS else (PAST_LIMITS[name][0], SMALL)
    network = ScriptedNetwork([[text, EOF]])
    upstream = HttpUpstream(dial=network, limits=limits)
    with pytest.raises(UpstreamFailure):
        await fetch(network, upstream)
    assert upstream.counters.refused[(REASONS | PAST)[name]] == 1
    assert sum(upstream.counters.refused.values()) == 1
