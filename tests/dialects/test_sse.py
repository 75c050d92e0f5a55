from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects import sse
from router.dialects.sse import EventSplitter, EventTooLarge, payload


def split(pieces: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    """The blocks that came out for each piece, and what is left."""
    splitter = EventSplitter()
    return [splitter.feed(piece) for piece in pieces], splitter.rest


def cut(data: bytes, places: set[int]) -> list[bytes]:
    edges = [0, *sorted(place for place in places if 0 < place < len(data)), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(
    ("pieces", "blocks", "rest"),
    [
        ([b"data: a\n\n"], [b"data: a\n\n"], b""),
        ([b"data: a\n\ndata: b\n\n"], [b"data: a\n\ndata: b\n\n"], b""),
        ([b"data: a\n\ndata: b"], [b"data: a\n\n"], b"data: b"),
        ([b"data: a", b"\n", b"\n"], [b"", b"", b"data: a\n\n"], b""),
        ([b"data: a\n\nda", b"ta: b\n\nd"], [b"data: a\n\n", b"data: b\n\n"], b"d"),
        ([b"data: a\r\n\r\n"], [b"data: a\n\n"], b""),
        ([b"data: a\r\r"], [b"data: a\n\n"], b""),
        ([b"data: a\n\r\n"], [b"data: a\n\n"], b""),
        ([b"data: a\r\n\n"], [b"data: a\n\n"], b""),
        ([b"data: a\r", b"\n\r", b"\n"], [b"", b"data: a\n\n", b""], b""),
        ([b"data: a\r", b"", b"\n\r\n"], [b"", b"", b"data: a\n\n"], b""),
        ([b"data: a\r\ndata: b\r\n\r\n"], [b"data: a\ndata: b\n\n"], b""),
        ([b"data: a\r\n", b"data: b\n"], [b"", b""], b"data: a\ndata: b\n"),
        ([b""], [b""], b""),
    ],
)
def test_whole_events_come_out_with_their_line_ends_normalised(
    pieces: list[bytes], blocks: list[bytes], rest: bytes
) -> None:
    assert split(pieces) == (blocks, rest)


def test_a_whole_block_is_passed_on_uncopied() -> None:
    block = b"data: a\n\ndata: b\n\n"
    assert EventSplitter().feed(block) is block


LINES = st.lists(st.sampled_from([b"data: a", b"data:b", b": c", b"", b"id: 1", "data: é".encode()]), max_size=12)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.data(), LINES, st.sets(st.integers(0, 200)))
def test_neither_line_ends_nor_cuts_change_what_comes_out(
    data: st.DataObject, lines: list[bytes], places: set[int]
) -> None:
    plain = b"".join(line + b"\n" for line in lines)
    written = b""
    for line in lines:
        end = data.draw(ENDS)
        one_line_end = written.endswith(b"\r") and not line and end == b"\n"  # not the two that were meant
        written += line + (b"\r" if one_line_end else end)
    one, rest = split(cut(written, places))
    expected, plain_rest = split([plain])
    assert b"".join(one) + rest == b"".join(expected) + plain_rest == plain
    assert all(block == b"" or block.endswith(b"\n\n") for block in one)


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    splitter = EventSplitter()
    splitter.feed(b"data: " + b"x" * 94)
    with pytest.raises(EventTooLarge, match="100 bytes"):
        splitter.feed(b"x")


def test_many_events_may_be_larger_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    many = b"data: x\n\n" * 100
    assert EventSplitter().feed(many) == many


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b"data: a", b"a"),
        (b"data:a", b"a"),
        (b"data:  a", b" a"),
        (b"data: a\ndata: b", b"a\nb"),
        (b"data:a\ndata: b", b"a\nb"),
        (b"data", b""),
        (b"data:", b""),
        (b": comment", b""),
        (b"event: x\ndata: a", b"a"),
        (b"data: a\nid: 7\nretry: 9", b"a"),
        (b": c\ndata: a\n: d", b"a"),
        (b"database: a", b""),
        (b"\ndata: a", b"a"),
        (b"", b""),
    ],
)
def test_the_payload_of_an_event_is_its_data_lines(event: bytes, expected: bytes) -> None:
    assert payload(event) == expected
