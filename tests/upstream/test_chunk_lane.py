"""Whole chunks of a stream may go past the parser, and what is read stays the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import UpstreamFailure
from router.upstream.body import Body
from router.upstream.chunk_lane import content_of_chunk
from router.upstream.framing import Limits, ResponseReader
from router.upstream.refusal import Malformed

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
CONTENTS = st.lists(
    st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"1\r\na\r\n", b"a\r\n", b"\r"]),
    min_size=1,
    max_size=8,
)
SIZES = st.sampled_from([b"%x", b"%X", b"0%x", b"%x;note=1"])


def chunk(content: bytes, size: bytes = b"%x") -> bytes:
    return size % len(content) + b"\r\n" + content + b"\r\n"


def received(pieces: list[bytes]) -> tuple[bytes, int]:
    """The stream as a connection would read it, and how many of its chunks went past the parser."""
    reader, got, passed = ResponseReader(Limits()), b"", 0
    reader.expect()
    for piece in pieces:
        start = content_of_chunk(piece) if reader.between_chunks else 0
        if start:
            got += piece[start:-2]
            passed += 1
            continue
        reader.feed(piece)
        got += reader.take()
    assert reader.complete
    return got, passed


@given(CONTENTS, SIZES, st.lists(st.integers(0, 500), max_size=6))
def test_however_a_stream_is_cut_its_content_is_the_same(contents: list[bytes], size: bytes, places: list[int]) -> None:
    text = HEAD + b"".join(chunk(content, size) for content in contents) + END
    edges = sorted({0, len(text), *(place % len(text) for place in places)})
    assert received([text[start:end] for start, end in itertools.pairwise(edges)])[0] == b"".join(contents)


@given(CONTENTS)
def test_chunks_that_come_one_by_one_go_past_the_parser_but_for_the_first(contents: list[bytes]) -> None:
    pieces = [HEAD, *(chunk(content) for content in contents), END]
    assert received(pieces) == (b"".join(contents), len(contents) - 1)


@given(st.binary(max_size=60))
def test_what_is_taken_for_a_chunk_is_one_to_the_parser_too(data: bytes) -> None:
    start = content_of_chunk(data)
    if start:
        assert data == chunk(data[start:-2])


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\r\n", b"0\r\n\r\n", b"0\r\n", b"3\r\nabc", b"3\r\nabc\r", b"3\r\nabcd\r\n", b"4\r\nabc\r\n"),
        *(b"03\r\nabc\r\n", b"+3\r\nabc\r\n", b"0x3\r\nabc\r\n", b" 3\r\nabc\r\n", b"3 \r\nabc\r\n", b"3;a\r\nabc\r\n"),
        *(b"3\nabc\r\n", b"A\r\n0123456789\r\n", b"1_0\r\n0123456789abcdef\r\n", b"3\r\nabc\r\n3\r\nabc\r\n"),
        *(b"3\r\nabc\n\n", b"-1\r\n\r\n"),
    ],
)
def test_anything_else_is_left_to_the_parser(data: bytes) -> None:
    assert content_of_chunk(data) == 0


def test_a_chunk_is_known_by_its_size_line_and_its_end() -> None:
    for size in (1, 15, 16, 255, 256, 4095, 4096, 65_535, 65_536, 1_048_575):
        data = chunk(b"x" * size)
        assert content_of_chunk(data) == len(data) - size - 2
        assert content_of_chunk(data) == len(data) - size - 2, "remembered or not"
    assert content_of_chunk(chunk(b"x" * 1_048_576)) == 0


@pytest.mark.parametrize(
    "fed", [b"3\r\nab", b"3\r\nabc", b"3\r\nabc\r", b"3\r\nabc\r\n3", b"3\r\nabc\r\n3\r", b"3\r\nabc\r\n3\r\n"]
)
def test_in_the_middle_of_anything_the_parser_goes_on(fed: bytes) -> None:
    reader = ResponseReader(Limits())
    reader.expect()
    reader.feed(HEAD + fed)
    assert not reader.between_chunks


@pytest.mark.parametrize(("framing", "chunks"), [(b"transfer-encoding: CHUNKED", True), (b"content-length: 99", False)])
def test_a_body_that_only_looks_chunked_is_never_between_chunks(framing: bytes, chunks: bool) -> None:
    reader = ResponseReader(Limits())
    reader.expect()
    reader.feed(HEAD.replace(b"transfer-encoding: chunked", framing) + chunk(b"abc"))
    assert reader.between_chunks == chunks


def test_a_stream_in_a_coding_nobody_asked_for_is_refused_whatever_its_chunks() -> None:
    reader = ResponseReader(Limits())
    reader.expect()
    reader.feed(HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
    with pytest.raises(Malformed):
        reader.feed(chunk(b"abc"))
    assert not reader.between_chunks


class Silent:
    """A source and a sink that hear of nothing but the end."""

    def pause(self) -> None:
        raise AssertionError

    resume = commit = pause

    def cancel(self) -> None:
        """Its body was aborted."""

    def data(self, data: bytes) -> None:
        raise AssertionError(data)

    def closed(self, failure: UpstreamFailure | None) -> None:
        raise AssertionError(failure)


def test_an_aborted_body_takes_no_chunk() -> None:
    silent, taken = Silent(), list[bytes]()

    def take(data: bytes, start: int) -> bool:
        taken.append(data)
        return True

    body = Body(silent, 100)
    body.attach(silent)
    assert not body.chunk(b"1\r\na\r\n", 3), "nobody has offered to"
    body.offer(take)
    assert body.chunk(b"1\r\na\r\n", 3)
    body.abort()
    assert not body.chunk(b"1\r\na\r\n", 3)
    assert taken == [b"1\r\na\r\n"]
