"""The relay, as transcripts: what upstream's reads lead to, on the client's side and on upstream's own."""

from __future__ import annotations

import asyncio

import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.dialects.openai_stream import OpenAIStream
from router.flow.relay import HOLD_LIMIT
from tests.core.making import World, group, tier
from tests.flow.behaviours import DONE, FINISH, IN_BAND, ROLE, words
from tests.flow.stage import Stage
from tests.virtual_time import virtual_time

HELLO, WORLD = words("Hello"), words("world")
KEEPALIVE = b": keep-alive\n\n"
GOODBYE = ["let go", "resume"]
"""What is called at the end, however it comes: the client has nothing to pause any more, and upstream may go on."""


@virtual_time
async def test_frames_without_content_are_held_and_go_out_with_the_first_content() -> None:
    stage = Stage()
    await stage.reads(ROLE)
    await stage.reads(ROLE, after=3.0)
    assert stage.transcript == []
    await stage.reads(HELLO, after=1.0)
    assert stage.transcript == [(4.0, "committed"), (4.0, "start", ROLE + ROLE + HELLO), (4.0, "hold")]
    await stage.reads(WORLD, after=1.0)
    await stage.reads(FINISH + DONE, after=1.0)
    assert await stage.running is None
    assert stage.transcript[3:] == [
        (5.0, "write", WORLD),
        (6.0, "end", FINISH + DONE),
        (6.0, "let go"),
        (6.0, "resume"),
    ]
    assert stage.relay.committed_at == 1004.0


@virtual_time
async def test_the_tokens_still_to_come_fall_as_they_come() -> None:
    world = World(group(tier("a")))
    stage, load = Stage(lease=world.lease("a")), world.load("a")
    await stage.reads(ROLE)
    assert load.outstanding == 110, "10 of prompt and 100 of output are expected"
    await stage.reads(HELLO)
    assert load.outstanding == 100, "the prompt is done with"
    await stage.reads(WORLD + HELLO)
    await stage.reads(WORLD)
    assert load.outstanding == 97
    stage.running.cancel()


@virtual_time
async def test_what_had_come_before_the_relay_goes_out_at_once() -> None:
    stage = Stage(arrived=ROLE + HELLO)
    await asyncio.sleep(0)
    assert stage.transcript == [(0.0, "committed"), (0.0, "start", ROLE + HELLO), (0.0, "hold")]
    stage.running.cancel()


@virtual_time
async def test_an_event_cut_in_two_goes_out_when_it_is_whole() -> None:
    stage = Stage(arrived=HELLO)
    await stage.reads(WORLD[:20])
    await stage.reads(WORLD[20:] + FINISH[:9])
    await stage.reads(FINISH[9:] + DONE)
    assert await stage.running is None
    assert stage.transcript[3:5] == [(0.0, "write", WORLD), (0.0, "end", FINISH + DONE)]


@virtual_time
async def test_no_more_than_16_kib_are_held() -> None:
    assert HOLD_LIMIT == 16 * 1024
    fits = HOLD_LIMIT // len(ROLE)
    stage = Stage()
    await stage.reads(ROLE * fits)
    assert stage.transcript == []
    await stage.reads(ROLE)
    assert stage.transcript[1] == (0.0, "start", ROLE * (fits + 1))
    await stage.reads(ROLE)
    assert stage.transcript[3] == (0.0, "write", ROLE)
    stage.running.cancel()


@pytest.mark.parametrize("tail", [IN_BAND, b"data: {oops\n\n", b"data: [1]\n\n", b'data: {"choices":[1]}\n\n', DONE])
@virtual_time
async def test_a_failure_before_any_content_leaves_the_client_untouched(tail: bytes) -> None:
    stage = Stage()
    await stage.reads(ROLE)
    await stage.reads(tail)
    failure = await stage.running
    assert failure is not None
    assert not failure.sent_bytes
    assert stage.calls == ["abort", *GOODBYE]
    assert stage.relay.committed_at is None


@virtual_time
async def test_content_that_comes_in_one_read_with_an_error_is_not_sent() -> None:
    stage = Stage()
    await stage.reads(ROLE + HELLO + IN_BAND)
    failure = await stage.running
    assert failure is not None
    assert not failure.sent_bytes
    assert stage.calls == ["abort", *GOODBYE]


@pytest.mark.parametrize("kind", [FailureKind.DISCONNECTED, FailureKind.FIRST_TOKEN_TIMEOUT])
@virtual_time
async def test_an_end_before_any_content_leaves_the_client_untouched(kind: FailureKind) -> None:
    stage = Stage()
    await stage.reads(ROLE)
    failure = await stage.closes(UpstreamFailure(kind, "oh"))
    assert failure is not None
    assert (failure.kind, failure.sent_bytes) == (kind, False)
    assert stage.calls == ["abort", *GOODBYE]


@virtual_time
async def test_an_empty_body_is_a_failure() -> None:
    stage = Stage()
    failure = await stage.closes()
    assert failure is not None
    assert (failure.kind, failure.sent_bytes) == (FailureKind.DISCONNECTED, False)


@virtual_time
async def test_a_failure_after_content_is_told_apart_and_loses_nothing_that_came_before_it() -> None:
    stage = Stage(arrived=HELLO)
    await stage.reads(WORLD + IN_BAND)
    failure = await stage.running
    assert failure is not None
    assert (failure.kind, failure.sent_bytes) == (FailureKind.BAD_REPLY, True)
    assert stage.transcript[3:] == [(0.0, "write", WORLD), (0.0, "abort"), (0.0, "let go"), (0.0, "resume")]


@pytest.mark.parametrize("rest", [b"", WORLD, WORLD[:-9]])
@virtual_time
async def test_a_body_that_just_ends_is_no_clean_end(rest: bytes) -> None:
    stage = Stage(arrived=HELLO)
    await stage.reads(rest)
    failure = await stage.closes()
    assert failure is not None
    assert failure.sent_bytes
    assert "end" not in stage.calls


@virtual_time
async def test_an_upstream_that_never_says_done_is_ended_properly_once_it_has_finished() -> None:
    stage = Stage(arrived=HELLO + FINISH)
    assert await stage.closes() is None
    assert stage.transcript[3] == (0.0, "end", DONE)


@virtual_time
async def test_a_reply_without_its_last_blank_line_is_not_lost() -> None:
    stage = Stage()
    await stage.reads((HELLO + FINISH)[:-2])
    assert await stage.closes() is None
    assert stage.frames == [(0.0, "start", HELLO), (0.0, "end", FINISH + DONE)]


@virtual_time
async def test_the_client_is_answered_at_done_though_the_body_is_still_open() -> None:
    stage = Stage(arrived=HELLO)
    await stage.reads(FINISH + DONE, after=1.0)
    assert await stage.running is None
    before = list(stage.transcript)
    assert before[3:] == [(1.0, "end", FINISH + DONE), (1.0, "let go"), (1.0, "resume")]
    await stage.reads(b": bye\n\n", after=1.0)
    stage.sink.closed(UpstreamFailure(FailureKind.DISCONNECTED, "reset"))
    await asyncio.sleep(1.0)
    assert stage.transcript == before


@virtual_time
async def test_a_silent_stream_is_kept_awake() -> None:
    stage = Stage(silence=15.0)
    await stage.reads(ROLE)
    await stage.reads(HELLO, after=100.0)
    await stage.reads(WORLD, after=40.0)
    await stage.reads(DONE, after=20.0)
    assert await stage.running is None
    await asyncio.sleep(100.0)
    assert stage.frames == [
        (100.0, "start", ROLE + HELLO),
        (115.0, "write", KEEPALIVE),
        (130.0, "write", KEEPALIVE),
        (140.0, "write", WORLD),
        (155.0, "write", KEEPALIVE),
        (160.0, "end", DONE),
    ]


@virtual_time
async def test_a_stream_without_keep_alive_stays_silent() -> None:
    stage = Stage(arrived=HELLO)
    await asyncio.sleep(1000.0)
    assert stage.calls == ["committed", "start", "hold"]
    stage.running.cancel()


@virtual_time
async def test_nothing_is_written_behind_the_end_even_if_a_keep_alive_is_due_at_that_very_moment() -> None:
    stage = Stage(silence=15.0)
    asyncio.get_running_loop().call_soon(stage.reads_at, DONE, 15.0)  # set first, so it fires first
    await stage.reads(HELLO)
    assert await stage.running is None
    await asyncio.sleep(100.0)
    assert stage.frames == [(0.0, "start", HELLO), (15.0, "end", DONE)]


@virtual_time
async def test_a_client_with_a_full_buffer_pauses_upstream_from_its_first_byte_on() -> None:
    stage = Stage(arrived=HELLO, full=True)
    await asyncio.sleep(0)
    assert stage.calls == ["committed", "start", "hold", "pause"]
    stage.running.cancel()


@virtual_time
async def test_upstream_paused_by_a_slow_client_may_come_to_its_end() -> None:
    stage = Stage(arrived=HELLO + DONE, full=True)
    assert await stage.running is None
    assert stage.calls == ["committed", "start", "hold", "pause", "end", *GOODBYE]


@virtual_time
async def test_a_client_that_goes_away_ends_the_call_at_once() -> None:
    stage = Stage(arrived=HELLO, silence=15.0)
    await asyncio.sleep(1.0)
    stage.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stage.running
    assert stage.transcript[3:] == [(1.0, "abort"), (1.0, "let go"), (1.0, "resume")]
    await stage.reads(WORLD + DONE, after=100.0)
    stage.sink.closed(None)
    assert len(stage.transcript) == 6


class Surprised(OpenAIStream):
    def feed(self, data: bytes) -> bytes:
        raise ZeroDivisionError


@virtual_time
async def test_an_error_that_nobody_foresaw_leaves_no_call_behind() -> None:
    stage = Stage(arrived=HELLO, decoder=Surprised(False))
    with pytest.raises(ZeroDivisionError):
        await stage.running
    assert stage.calls == ["abort", *GOODBYE]


# Events that pass in the chunks they came in.


def chunked(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


@virtual_time
async def test_an_event_like_those_before_goes_out_in_its_own_chunk() -> None:
    stage = Stage(chunks=True)
    await stage.reads(ROLE + HELLO)
    assert not await stage.offered(chunked(WORLD)), "the first must be read, to know the others by"
    await stage.reads(WORLD)
    assert await stage.offered(chunked(HELLO), after=1.0)
    assert stage.transcript[-1] == (1.0, "chunk", chunked(HELLO))
    stage.running.cancel()


@pytest.mark.parametrize(
    "other", [FINISH, DONE, ROLE, IN_BAND, words('quo"ted'), HELLO + WORLD, HELLO[:-1], b": ping\n\n"]
)
@virtual_time
async def test_an_event_with_anything_else_in_it_is_read(other: bytes) -> None:
    stage = Stage(chunks=True)
    await stage.reads(ROLE + HELLO)
    await stage.reads(WORLD)
    assert not await stage.offered(chunked(other))
    stage.running.cancel()


@virtual_time
async def test_nothing_overtakes_the_beginning_of_an_event() -> None:
    stage = Stage(chunks=True)
    await stage.reads(ROLE + HELLO)
    await stage.reads(WORLD + WORLD[:20])
    assert not await stage.offered(chunked(HELLO))
    await stage.reads(WORLD[20:])
    assert await stage.offered(chunked(HELLO))
    stage.running.cancel()


@virtual_time
async def test_after_the_end_nothing_passes() -> None:
    stage = Stage(chunks=True)
    await stage.reads(ROLE + HELLO)
    await stage.reads(WORLD)
    await stage.reads(FINISH + DONE)
    assert not await stage.offered(chunked(HELLO))
    assert await stage.running is None


@virtual_time
async def test_passing_events_keep_the_connection_awake_and_count_as_tokens() -> None:
    world = World(group(tier("a")))
    stage, load = Stage(lease=world.lease("a"), silence=10.0, chunks=True), world.load("a")
    await stage.reads(ROLE + HELLO)
    await stage.reads(WORLD)
    left = load.outstanding
    assert await stage.offered(chunked(HELLO), after=9.0)
    assert load.outstanding == left - 1
    await asyncio.sleep(9.0)
    assert stage.transcript[-1][1] == "chunk"
    await asyncio.sleep(2.0)
    assert stage.transcript[-1] == (19.0, "write", KEEPALIVE)
    stage.running.cancel()


async def test_an_exchange_with_a_framing_of_its_own_is_offered_nothing() -> None:
    stage = Stage()
    await stage.reads(ROLE + HELLO)
    await stage.reads(WORLD)
    assert not await stage.offered(chunked(HELLO))
    stage.running.cancel()
