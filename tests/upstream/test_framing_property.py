"""Any valid response, cut anywhere, is read as it was written."""

from __future__ import annotations

import itertools
import string
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.upstream.framing import Limits, ResponseReader
from router.upstream.refusal import Malformed

TOKEN = st.text(string.ascii_letters + string.digits + "-_!#$%&'*+.^`|~", min_size=1, max_size=12)
NAMES = TOKEN.filter(
    lambda name: (
        name.lower()
        not in ("content-length", "transfer-encoding", "connection", "content-encoding", "content-type", "upgrade")
    )
)
VALUES = st.binary(max_size=20).map(lambda value: bytes(c for c in value if c in b"\t" or (c > 31 and c != 127)))
FIELDS = st.lists(st.tuples(NAMES.map(str.encode), VALUES), max_size=6)
BLANKS = st.sampled_from([b"", b" ", b"\t", b"  "])
EXTENSIONS = st.lists(st.tuples(TOKEN, st.one_of(st.none(), TOKEN)), max_size=3).map(
    lambda pairs: b"".join(b";" + name.encode() + (b"=" + value.encode() if value else b"") for name, value in pairs)
)


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, int, list[tuple[bytes, bytes]], bytes, bool]:
    """Text, status, fields, body, and whether only the end of the connection ends it."""
    status = draw(st.integers(200, 599).filter(lambda status: status not in (204, 304)))
    fields = draw(FIELDS)
    kind = draw(st.sampled_from(["length", "chunked", "close"]))
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    body = b"".join(pieces)
    if kind == "length":
        fields = [*fields, (b"Content-Length", b"%d" % len(body))]
        coded = body
    elif kind == "chunked":
        fields = [(b"Transfer-Encoding", b"chunked"), *fields]
        size = draw(st.sampled_from([b"%x", b"%X", b"0%x"]))
        coded = b"".join(size % len(piece) + draw(EXTENSIONS) + b"\r\n" + piece + b"\r\n" for piece in pieces)
        trailers = draw(st.lists(st.tuples(NAMES.map(str.encode), VALUES), max_size=2))
        coded += b"0" + draw(EXTENSIONS) + b"\r\n"
        coded += b"".join(b"%s:%s\r\n" % trailer for trailer in trailers) + b"\r\n"
    else:
        coded = body
    blank = draw(BLANKS)
    head = b"HTTP/1.1 %d Whatever\r\n" % status
    head += b"".join(b"%s:%s%s\r\n" % (name, blank, value) for name, value in fields) + b"\r\n"
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    return interim + head + coded, status, fields, body, kind == "close"


def cut(text: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({place % len(text) for place in places} - {0}), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


PLACES = st.lists(st.integers(0, 10_000), max_size=12)


@given(responses(), PLACES)
def test_a_valid_response_is_read_as_it_was_written(
    response: tuple[bytes, int, list[tuple[bytes, bytes]], bytes, bool], places: list[int]
) -> None:
    text, status, fields, body, until_close = response
    reader = ResponseReader(Limits())
    reader.expect()
    for piece in cut(text, places):
        assert not reader.complete
        reader.feed(piece)
    assert reader.head
    assert reader.until_close == until_close
    assert reader.complete != until_close
    assert reader.eof()
    assert reader.status == status
    assert reader.body() == body
    expected: dict[bytes, bytes] = {}
    for name, value in fields:
        key, value = name.lower(), value.strip(b" \t")
        expected[key] = expected[key] + b", " + value if key in expected else value
    assert reader.headers == expected
    if until_close:
        assert not reader.reusable


@given(st.lists(responses().filter(lambda response: not response[4]), min_size=2, max_size=4), PLACES)
def test_one_reader_reads_one_response_after_another(
    replies: list[tuple[bytes, int, list[tuple[bytes, bytes]], bytes, bool]], places: list[int]
) -> None:
    reader = ResponseReader(Limits())
    for text, status, _, body, _ in replies:
        reader.expect()
        for piece in cut(text, places):
            reader.feed(piece)
        assert reader.complete
        assert (reader.status, reader.body()) == (status, body)


@given(responses().filter(lambda response: not response[4]), st.binary(min_size=1, max_size=30))
def test_a_response_with_anything_behind_it_is_read_and_the_connection_is_not_reused(
    response: tuple[bytes, int, list[tuple[bytes, bytes]], bytes, bool], more: bytes
) -> None:
    text, status, _, body, _ = response
    reader = ResponseReader(Limits())
    reader.expect()
    reader.feed(text + more)
    assert reader.complete
    assert (reader.status, reader.body()) == (status, body)
    assert not reader.reusable


@given(st.binary(min_size=1), PLACES)
def test_noise_is_malformed_or_incomplete_but_never_anything_else(noise: bytes, places: list[int]) -> None:
    reader = ResponseReader(Limits())
    reader.expect()
    try:
        for piece in cut(noise, places):
            reader.feed(piece)
    except Malformed:
        return
    assert not reader.complete


@given(responses(), st.integers(0, 10_000), st.integers(0, 255), PLACES)
def test_one_wrong_byte_is_read_the_same_way_however_it_is_cut(
    response: tuple[bytes, int, list[tuple[bytes, bytes]], bytes, bool], where: int, byte: int, places: list[int]
) -> None:
    text = bytearray(response[0])
    text[where % len(text)] = byte

    def read(pieces: list[bytes]) -> tuple[int, bytes] | None:
        reader = ResponseReader(Limits())
        reader.expect()
        try:
            for piece in pieces:
                if reader.complete:
                    break  # the rest is not this response's, and is never read
                reader.feed(piece)
            return (reader.status, reader.body()) if reader.eof() else None
        except Malformed:
            return None

    assert read([bytes(text)]) == read(cut(bytes(text), places))


def test_a_reader_can_be_refused_without_having_been_asked() -> None:
    reader = ResponseReader(Limits())
    with pytest.raises(Malformed):
        reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
