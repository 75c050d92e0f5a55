from __future__ import annotations

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from router.dialects.eventstream import BadEventStream, EventStreamSplitter, Message
from tests.edge.aws_frames import event, exception, message

STREAM = event(b"one") + event(b"") + exception("ModelStreamError", b"{}")


def read(pieces: list[bytes]) -> list[Message]:
    splitter = EventStreamSplitter()
    return [found for piece in pieces for found in splitter.feed(piece)]


def test_messages_have_their_headers_and_payload() -> None:
    first, second, third = read([STREAM])
    assert (first.headers[":message-type"], first.payload) == ("event", b"one")
    assert second.payload == b""
    assert third.headers[":exception-type"] == "ModelStreamError"


@pytest.mark.parametrize("size", [1, 2, 3, 11, 12, 13, 50])
def test_however_the_bytes_are_cut_the_messages_are_the_same(size: int) -> None:
    assert read([STREAM[at : at + size] for at in range(0, len(STREAM), size)]) == read([STREAM])


def test_botocore_reads_the_same() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(STREAM)
    theirs = [(found.headers, found.payload) for found in buffer]
    assert theirs == [(found.headers, found.payload) for found in read([STREAM])]


def test_headers_of_other_types_are_passed_over() -> None:
    told = (
        b"\x01a\x00" + b"\x01b\x02\x07" + b"\x01c\x04\x00\x00\x00\x01" + b"\x01d\x06\x00\x02xx" + b"\x01e\x07\x00\x01y"
    )
    whole = message({}, b"p")
    from struct import pack
    from zlib import crc32

    start = pack(">II", 16 + len(told) + 1, len(told))
    body = start + pack(">I", crc32(start)) + told + b"p"
    assert read([body + pack(">I", crc32(body))]) == [Message({"e": "y"}, b"p")]
    assert read([whole]) == [Message({}, b"p")]


@given(st.integers(0, len(STREAM) - 1), st.integers(1, 255))
def test_a_damaged_byte_is_never_taken_for_a_message(at: int, change: int) -> None:
    damaged = bytearray(STREAM)
    damaged[at] ^= change
    sound = read([STREAM])
    try:
        found = read([bytes(damaged)])
    except BadEventStream:
        return
    assert found == sound[: len(found)]
    assert len(found) < len(sound)


def test_what_is_no_event_stream_is_refused_at_once() -> None:
    with pytest.raises(BadEventStream, match="damaged"):
        read([b'data: {"token": 1}\n\n'])


def test_a_stream_cut_in_the_middle_of_a_message_is_incomplete() -> None:
    splitter = EventStreamSplitter()
    assert len(list(splitter.feed(STREAM[:-1]))) == 2
    assert splitter.incomplete
    assert len(list(splitter.feed(STREAM[-1:]))) == 1
    assert not splitter.incomplete
