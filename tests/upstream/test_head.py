"""Replies to HEAD have no body, whatever their heads say; h11 is the reference."""

from __future__ import annotations

import h11
import pytest

from router.upstream.client import HttpUpstream
from router.upstream.counters import CloseReason
from tests.upstream.scripted import OK, REQUEST, ScriptedNetwork, settle, timing
from tests.virtual_time import virtual_time

HEAD = REQUEST._replace(head=b"HEAD / HTTP/1.1\r\nhost: upstream.test\r\n\r\n", body=b"")
H = b"HTTP/1.1 200 OK\r\n"

REPLIES = {
    "a length": (H + b"content-length: 5\r\n\r\n", False),
    "a length of zero": (H + b"content-length: 0\r\n\r\n", True),
    "chunks": (H + b"transfer-encoding: chunked\r\n\r\n", False),
    "neither": (H + b"\r\n", False),
    "a stream": (H + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n", False),
    "packed": (H + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\n", False),
    "larger than any body may be": (H + b"content-length: 99999999999\r\n\r\n", False),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\n\r\n", True),
    "an error": (b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\n", False),
    "an interim response before": (b"HTTP/1.1 100 Continue\r\n\r\n" + H + b"content-length: 5\r\n\r\n", False),
    "close": (H + b"connection: close\r\ncontent-length: 0\r\n\r\n", False),
}


def by_h11(text: bytes) -> int:
    """The status of a reply that is whole with these bytes."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="HEAD", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(text)
    status = 0
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        assert isinstance(event, (h11.InformationalResponse, h11.Response))
        status = event.status_code
    return status


@pytest.mark.parametrize(("text", "reusable"), REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("size", [1, 10_000])
@virtual_time
async def test_a_reply_ends_with_its_head(text: bytes, reusable: bool, size: int) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    network = ScriptedNetwork([pieces, [OK]], [[OK]])
    upstream = HttpUpstream(dial=network)
    response = await upstream.send(HEAD, timing())
    assert (response.status, response.body, response.stream) == (by_h11(text), b"", None)
    assert upstream.counters.closed[CloseReason.REPLY] == (not reusable)
    assert (await upstream.send(REQUEST, timing())).body == b"ok"
    assert network.dials == (1 if reusable else 2)
    await upstream.close()


@pytest.mark.parametrize("text", [text for text, _ in REPLIES.values()], ids=REPLIES)
@pytest.mark.parametrize("apart", [False, True])
@virtual_time
async def test_a_body_that_comes_all_the_same_is_nobodys_and_costs_the_connection(text: bytes, apart: bool) -> None:
    network = ScriptedNetwork([[text, b"hello"] if apart else [text + b"hello"]], [[OK]])
    upstream = HttpUpstream(dial=network)
    response = await upstream.send(HEAD, timing())
    assert (response.status, response.body) == (by_h11(text), b"")
    await settle()
    assert (await upstream.send(REQUEST, timing())).body == b"ok"
    assert network.dials == 2
    await upstream.close()
