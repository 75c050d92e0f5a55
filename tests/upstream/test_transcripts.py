"""Good replies, byte for byte: whole, one byte at a time, cut in two at every byte, and with something behind them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.upstream.client import HttpUpstream
from router.upstream.counters import CloseReason
from tests.upstream.scripted import EOF, LAST, OK, RESET, SSE, ScriptedNetwork, Step, chunk, fetch, settle
from tests.virtual_time import virtual_time


@dataclass
class Reply:
    text: bytes
    status: int = 200
    body: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    reusable: bool = True
    until_close: bool = False


H = b"HTTP/1.1 200 OK\r\n"
CHUNKED = H + b"transfer-encoding: chunked\r\n\r\n"

REPLIES = {
    "a length": Reply(H + b"content-length: 5\r\n\r\nhello", body=b"hello"),
    "a length of zero": Reply(H + b"content-length: 0\r\n\r\n"),
    "a length with leading zeros": Reply(H + b"content-length: 005\r\n\r\nhello", body=b"hello"),
    "a length with a space behind it": Reply(H + b"content-length: 5 \r\n\r\nhello", body=b"hello"),
    "a body that ends with a line break": Reply(H + b"content-length: 4\r\n\r\n{}\r\n", body=b"{}\r\n"),
    "a body of line breaks": Reply(H + b"content-length: 8\r\n\r\n\r\n\r\n\r\n\r\n", body=b"\r\n\r\n\r\n\r\n"),
    "a body that looks like a head": Reply(H + b"content-length: %d\r\n\r\n%s" % (len(OK), OK), body=OK),
    "no reason phrase": Reply(b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx", body=b"x"),
    "an empty reason phrase": Reply(b"HTTP/1.1 200 \r\ncontent-length: 1\r\n\r\nx", body=b"x"),
    "names in capitals, values trimmed": Reply(
        H + b"Content-Length:1\r\nX-Request-ID: \t a b \t\r\nEMPTY:\r\n\r\nx",
        body=b"x",
        headers={b"content-length": b"1", b"x-request-id": b"a b", b"empty": b""},
    ),
    "repeated fields": Reply(
        H + b"a: 1\r\ncontent-length: 1\r\nA: 2\r\na: 3\r\n\r\nx",
        body=b"x",
        headers={b"a": b"1, 2, 3", b"content-length": b"1"},
    ),
    "bytes beyond ASCII in a value": Reply(
        H + b"x: caf\xc3\xa9\xff\r\ncontent-length: 0\r\n\r\n",
        headers={b"x": b"caf\xc3\xa9\xff", b"content-length": b"0"},
    ),
    "chunks": Reply(CHUNKED + b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", body=b"abc0123456789"),
    "chunks, in capitals": Reply(H + b"Transfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", body=b"x"),
    "chunks with leading zeros": Reply(CHUNKED + b"0003\r\nabc\r\n000\r\n\r\n", body=b"abc"),
    "chunks with extensions": Reply(CHUNKED + b'3;a=b;c="d;e";f\r\nabc\r\n0;last\r\n\r\n', body=b"abc"),
    "chunks of line breaks": Reply(CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\n\r\n", body=b"\r\n\r\n"),
    "no chunk but the last": Reply(CHUNKED + b"0\r\n\r\n"),
    "trailers": Reply(
        CHUNKED + b"1\r\nx\r\n0\r\nx-checksum: 1\r\ncontent-encoding: br\r\n\r\n",
        body=b"x",
        headers={b"transfer-encoding": b"chunked"},
    ),
    "a trailer that closes": Reply(CHUNKED + b"1\r\nx\r\n0\r\nconnection: close\r\n\r\n", body=b"x", reusable=False),
    "an interim response": Reply(b"HTTP/1.1 100 Continue\r\n\r\n" + H + b"content-length: 1\r\n\r\nx", body=b"x"),
    "eight interim responses": Reply(
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 8 + H + b"content-length: 1\r\n\r\nx",
        body=b"x",
        headers={b"content-length": b"1"},
    ),
    "an interim response of length zero": Reply(
        b"HTTP/1.1 100 Continue\r\ncontent-length: 0\r\n\r\n" + H + b"content-length: 1\r\n\r\nx", body=b"x"
    ),
    "no content": Reply(b"HTTP/1.1 204 No Content\r\n\r\n", status=204),
    "no content, of length zero": Reply(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", status=204),
    "no content, said to have some": Reply(
        b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\n", status=204, reusable=False
    ),
    "no content, said to be in chunks": Reply(
        b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", status=204, reusable=False
    ),
    "not modified": Reply(b"HTTP/1.1 304 Not Modified\r\n\r\n", status=304),
    "not modified, with the length it would have": Reply(
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n", status=304, reusable=False
    ),
    "an error": Reply(b"HTTP/1.1 429 Slow\r\ncontent-length: 1\r\nretry-after: 3\r\n\r\nx", status=429, body=b"x"),
    "an error that claims to be a stream": Reply(
        b"HTTP/1.1 500 Oops\r\ncontent-length: 1\r\ncontent-type: text/event-stream\r\n\r\nx", status=500, body=b"x"
    ),
    "connection: close": Reply(H + b"connection: close\r\ncontent-length: 1\r\n\r\nx", body=b"x", reusable=False),
    "close among options": Reply(
        H + b"connection: keep-alive, Close\r\ncontent-length: 1\r\n\r\nx", body=b"x", reusable=False
    ),
    "close, then keep-alive": Reply(
        H + b"connection: close\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx", body=b"x", reusable=False
    ),
    "an option that only ends in close": Reply(H + b"connection: x-close\r\ncontent-length: 1\r\n\r\nx", body=b"x"),
    "HTTP/1.0": Reply(b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", body=b"x", reusable=False),
    "HTTP/1.0 that keeps alive": Reply(
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx", body=b"x"
    ),
    "until the connection closes": Reply(H + b"\r\nabc\r\n\r\n", body=b"abc\r\n\r\n", reusable=False, until_close=True),
    "nothing until the connection closes": Reply(H + b"\r\n", reusable=False, until_close=True),
    "keep-alive, but until the connection closes": Reply(
        H + b"connection: keep-alive\r\n\r\nabc", body=b"abc", reusable=False, until_close=True
    ),
    "an upgrade on offer": Reply(H + b"upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 1\r\n\r\nx", body=b"x"),
    "content-encoding: identity": Reply(H + b"content-encoding: Identity\r\ncontent-length: 1\r\n\r\nx", body=b"x"),
    "compressed nothing": Reply(H + b"content-encoding: gzip\r\ncontent-length: 0\r\n\r\n"),
    "a stream in chunks": Reply(
        SSE + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + LAST, body=b"data: 1\n\ndata: 2\n\n"
    ),
    "a stream with a length": Reply(
        H + b"Content-Type: Text/Event-Stream; charset=utf-8\r\ncontent-length: 9\r\n\r\ndata: 1\n\n",
        body=b"data: 1\n\n",
    ),
    "a stream until the connection closes": Reply(
        H + b"content-type: text/event-stream\r\n\r\ndata: 1\n\n", body=b"data: 1\n\n", reusable=False, until_close=True
    ),
    "an empty stream": Reply(SSE + LAST),
    "an empty stream until the connection closes": Reply(
        H + b"content-type: text/event-stream\r\n\r\n", reusable=False, until_close=True
    ),
}

each_reply = pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)


async def check(reply: Reply, *steps: Step, reusable: bool | None = None) -> None:
    """The reply, arriving in these steps, is read right, and leaves the connection as it should, for a second one."""
    ending = [EOF] if reply.until_close else []
    network = ScriptedNetwork([[*steps, *ending], [OK]], [[OK]])
    upstream = HttpUpstream(dial=network)
    response, body = await fetch(network, upstream)
    assert (response.status, body) == (reply.status, reply.body)
    assert (response.stream is not None) == (reply.status < 300 and b"text/event-stream" in reply.text.lower())
    if reply.headers:
        assert response.headers == reply.headers
    kept = reply.reusable if reusable is None else reusable
    assert upstream.counters.closed[CloseReason.REPLY] == (not kept)
    response, body = await fetch(network, upstream)
    assert (response.status, body) == (200, b"ok")
    assert network.dials == (1 if kept else 2)
    await upstream.close()
    assert network.open == 0


@each_reply
@virtual_time
async def test_a_reply_in_one_read(reply: Reply) -> None:
    await check(reply, reply.text)


@each_reply
@virtual_time
async def test_a_reply_one_byte_at_a_time(reply: Reply) -> None:
    await check(reply, *(reply.text[i : i + 1] for i in range(len(reply.text))))


@each_reply
@virtual_time
async def test_a_reply_cut_in_two_at_every_byte(reply: Reply) -> None:
    for cut in range(1, len(reply.text)):
        await check(reply, reply.text[:cut], reply.text[cut:])


@each_reply
@pytest.mark.parametrize("more", [b"x", b"H", b"\r\n", b"\n", b"\r", OK, b"\r\n" + OK, b"\r\n\r\n\r\n"])
@virtual_time
async def test_what_follows_a_reply_costs_the_connection_and_not_the_reply(reply: Reply, more: bytes) -> None:
    if not reply.until_close:
        await check(reply, reply.text + more, reusable=False)


@each_reply
@pytest.mark.parametrize("more", [b"x", b"\r\n", OK])
@virtual_time
async def test_what_follows_a_reply_later_costs_the_connection_too(reply: Reply, more: bytes) -> None:
    if not reply.until_close and reply.reusable:
        network = ScriptedNetwork([[reply.text, more]], [[OK]])
        upstream = HttpUpstream(dial=network)
        _, body = await fetch(network, upstream)
        assert body == reply.body
        await settle()
        _, body = await fetch(network, upstream)
        assert body == b"ok"
        assert upstream.counters.closed[CloseReason.SERVER] == 1
        await upstream.close()


@each_reply
@pytest.mark.parametrize("more", [b"x", b"\r\n", b"\n", OK])
@virtual_time
async def test_what_follows_a_reply_costs_the_connection_however_both_are_cut(reply: Reply, more: bytes) -> None:
    text = reply.text + more
    for size in range(1, 0 if reply.until_close else 12):
        network = ScriptedNetwork([[text[i : i + size] for i in range(0, len(text), size)]])
        upstream = HttpUpstream(dial=network)
        _, body = await fetch(network, upstream)
        assert body == reply.body
        for _ in range(len(text) // 10 + 1):
            await settle()
        assert network.open == 0
        assert repr(upstream.pool) == "<Pool empty>"


@each_reply
@pytest.mark.parametrize("end", [EOF, RESET])
@virtual_time
async def test_a_reply_that_ends_early_at_any_byte_is_never_taken_for_a_whole_one(reply: Reply, end: Step) -> None:
    for cut in range(len(reply.text)):
        network = ScriptedNetwork([[reply.text[:cut], end] if cut else [end]])
        upstream = HttpUpstream(dial=network)
        head = reply.text.find(b"\r\n\r\n") + 4
        if reply.until_close and end is EOF and cut >= head:
            _, body = await fetch(network, upstream)
            assert body == reply.text[head:cut]
        else:
            with pytest.raises(UpstreamFailure) as caught:
                await fetch(network, upstream)
            assert caught.value.kind is FailureKind.DISCONNECTED
        assert network.open == 0
        assert repr(upstream.pool) == "<Pool empty>"


@virtual_time
async def test_one_connection_carries_every_kind_of_reply_in_turn() -> None:
    replies = [reply for reply in REPLIES.values() if reply.reusable]
    network = ScriptedNetwork([[reply.text] for reply in replies])
    upstream = HttpUpstream(dial=network)
    for reply in replies:
        response, body = await fetch(network, upstream)
        assert (response.status, body) == (reply.status, reply.body)
    assert network.dials == 1
    assert upstream.counters.reused == len(replies) - 1
    await upstream.close()
