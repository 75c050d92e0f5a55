"""The in-process upstream on a virtual clock: what `send` gives, when, and how limits and cancellation end it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from math import inf
from typing import Any

import orjson
import pytest

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import Deployment
from router.dialects.base import Origin, WireRequest
from router.dialects.mock.behaviour import Behaviour
from router.upstream.base import BodyStream, Timing
from router.upstream.inprocess import MockUpstream
from tests.mock.virtual import run_virtually

HI: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "say hi"}]}
STREAM = HI | {"stream": True}
PACED = Behaviour(time_to_first_token=1.0, tokens_per_second=2, reply="a b c")


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        run_virtually(main())

    return run


def elapsed() -> float:
    return round(asyncio.get_running_loop().time() - 1000.0, 6)


def wire(
    behaviour: Behaviour | None, body: object = HI, path: str = "/v1/chat/completions", id: str = "d"
) -> WireRequest:
    deployment = Deployment(id=id, model_name="m", provider="mock", model="gpt-4o", options=behaviour)
    head = f"POST {path} HTTP/1.1\r\nhost: mock\r\n\r\n".encode()
    return WireRequest(Origin("mock", "mock", 0), head, orjson.dumps(body), deployment)


def timing(deadline: float = 100.0, first_token: float = inf, stream_idle: float = 50.0) -> Timing:
    """Limits in seconds from the start of the virtual clock."""
    return Timing(1000.0 + deadline, 5.0, 1000.0 + first_token, stream_idle)


class Sink:
    """Notes what it hears, and when."""

    def __init__(self, on_data: Callable[[], None] = lambda: None) -> None:
        self.heard: list[tuple[float, str]] = []
        self.body = b""
        self.failure: UpstreamFailure | None = None
        self.done = asyncio.Event()
        self._on_data = on_data

    def data(self, data: bytes) -> None:
        assert not self.done.is_set()
        self.body += data
        self.heard.append((elapsed(), "data"))
        self._on_data()

    def closed(self, failure: UpstreamFailure | None) -> None:
        assert not self.done.is_set()
        self.failure = failure
        self.heard.append((elapsed(), failure.kind if failure else "closed"))
        self.done.set()


async def open_stream(behaviour: Behaviour, limits: Timing | None = None) -> tuple[MockUpstream, BodyStream]:
    upstream = MockUpstream(seed=1)
    response = await upstream.send(wire(behaviour, STREAM), limits or timing())
    assert (response.status, response.body) == (200, b"")
    assert response.headers[b"content-type"].startswith(b"text/event-stream")
    assert response.stream is not None
    return upstream, response.stream


@virtual
async def test_a_whole_reply_comes_when_its_last_token_is_made() -> None:
    response = await MockUpstream().send(wire(PACED), timing())
    assert elapsed() == 2.0
    assert response.stream is None
    assert orjson.loads(response.body)["choices"][0]["message"]["content"] == "a b c"
    assert response.headers[b"content-length"] == str(len(response.body)).encode()


@virtual
async def test_without_options_the_default_behaviour_answers_at_once() -> None:
    response = await MockUpstream().send(wire(None), timing())
    assert (response.status, elapsed()) == (200, 0.0)


@virtual
async def test_a_streams_head_comes_at_once_and_its_pieces_in_time() -> None:
    upstream, stream = await open_stream(PACED)
    assert elapsed() == 0.0
    sink = Sink()
    stream.attach(sink)
    await sink.done.wait()
    assert sink.heard == [(0.0, "data"), (1.0, "data"), (1.5, "data"), (2.0, "data"), (2.0, "closed")]
    assert sink.body.endswith(b"data: [DONE]\n\n")
    assert upstream.in_flight == 0


@virtual
async def test_attaching_late_hands_over_everything_that_has_come_at_once() -> None:
    _, stream = await open_stream(PACED)
    await asyncio.sleep(10)
    sink = Sink()
    stream.attach(sink)
    assert sink.heard == [(10.0, "data"), (10.0, "closed")]


@virtual
async def test_an_error_status_is_a_whole_response_even_to_a_stream() -> None:
    behaviour = Behaviour(script=("429", "ok"), retry_after=7)
    response = await MockUpstream().send(wire(behaviour, STREAM), timing())
    assert (response.status, response.stream, response.headers[b"retry-after"]) == (429, None, b"7")


@virtual
async def test_each_deployment_has_its_own_place_in_the_script() -> None:
    upstream = MockUpstream()
    behaviour = Behaviour(script=("ok", "503", "500"))

    async def status(id: str, behaviour: Behaviour = behaviour) -> int:
        return (await upstream.send(wire(behaviour, id=id), timing())).status

    assert [await status("a") for _ in range(4)] == [200, 503, 500, 200]
    assert [await status("b"), await status("a")] == [200, 503]
    assert await status("a", Behaviour(script=("404", "ok"))) == 404


@virtual
async def test_an_unknown_path_is_a_404() -> None:
    assert (await MockUpstream().send(wire(None, path="/v1/audio"), timing())).status == 404


@pytest.mark.parametrize("body", [HI, STREAM])
@pytest.mark.parametrize(("step", "kind"), [("reset", FailureKind.DISCONNECTED), ("garbage", FailureKind.PROTOCOL)])
@virtual
async def test_a_reply_without_a_head_is_a_failure_of_send(step: str, kind: FailureKind, body: object) -> None:
    upstream = MockUpstream()
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(wire(Behaviour(script=(step,)), body), timing())
    assert (caught.value.kind, upstream.in_flight) == (kind, 0)


@virtual
async def test_a_truncated_whole_reply_is_a_disconnection() -> None:
    with pytest.raises(UpstreamFailure) as caught:
        await MockUpstream().send(wire(Behaviour(script=("truncate",))), timing())
    assert caught.value.kind is FailureKind.DISCONNECTED


@virtual
async def test_a_truncated_stream_closes_with_a_disconnection_after_its_data() -> None:
    _, stream = await open_stream(Behaviour(script=("truncate",)))
    sink = Sink()
    stream.attach(sink)
    assert sink.heard == [(0.0, "data"), (0.0, "disconnected")]
    assert b'"content":"Hello"' in sink.body
    assert b"[DONE]" not in sink.body


@pytest.mark.parametrize(
    ("body", "limits", "kind", "moment"),
    [
        (HI, timing(deadline=9), FailureKind.ATTEMPT_TIMEOUT, 9.0),
        (STREAM, timing(deadline=9, first_token=3), FailureKind.FIRST_TOKEN_TIMEOUT, 3.0),
        (STREAM, timing(deadline=2, first_token=3), FailureKind.ATTEMPT_TIMEOUT, 2.0),
    ],
)
@pytest.mark.parametrize("behaviour", [Behaviour(script=("hang",)), Behaviour(script=("hang", "ok"))])
@virtual
async def test_a_hang_ends_at_the_nearest_limit(
    behaviour: Behaviour, body: object, limits: Timing, kind: FailureKind, moment: float
) -> None:
    upstream = MockUpstream()
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(wire(behaviour, body), limits)
    assert (caught.value.kind, elapsed(), upstream.in_flight) == (kind, moment, 0)


@virtual
async def test_a_slow_whole_reply_ends_at_the_deadline() -> None:
    with pytest.raises(UpstreamFailure) as caught:
        await MockUpstream().send(wire(PACED), timing(deadline=1.9))
    assert (caught.value.kind, elapsed()) == (FailureKind.ATTEMPT_TIMEOUT, 1.9)


@virtual
async def test_a_deadline_already_past_is_a_failure_at_once() -> None:
    with pytest.raises(UpstreamFailure) as caught:
        await MockUpstream().send(wire(None, STREAM), timing(deadline=0))
    assert (caught.value.kind, elapsed()) == (FailureKind.ATTEMPT_TIMEOUT, 0.0)


@virtual
async def test_a_stream_without_its_first_token_in_time_is_closed() -> None:
    _, stream = await open_stream(PACED, timing(first_token=0.5))
    sink = Sink()
    stream.attach(sink)
    await sink.done.wait()
    assert sink.heard == [(0.0, "data"), (0.5, "first_token_timeout")]


@virtual
async def test_once_committed_only_silence_ends_a_stream() -> None:
    stalled = Behaviour(script=("stall",), time_to_first_token=1.0, tokens_per_second=0.5, reply="a b c d")
    _, stream = await open_stream(stalled, timing(first_token=1.5, stream_idle=4))
    sink = Sink(lambda: stream.committed() if elapsed() == 1.0 else None)
    stream.attach(sink)
    await sink.done.wait()
    assert sink.heard == [(0.0, "data"), (1.0, "data"), (3.0, "data"), (7.0, "idle_timeout")]


@virtual
async def test_the_deadline_holds_for_the_whole_stream() -> None:
    _, stream = await open_stream(Behaviour(tokens_per_second=1, output_tokens=100), timing(deadline=2.5))
    sink = Sink(lambda: stream.committed())
    stream.attach(sink)
    await sink.done.wait()
    assert sink.heard[-1] == (2.5, "attempt_timeout")


@virtual
async def test_a_paused_stream_brings_nothing_is_not_idle_and_catches_up_when_resumed() -> None:
    _, stream = await open_stream(PACED, timing(stream_idle=3))
    sink = Sink()
    stream.attach(sink)
    stream.committed()
    stream.pause()
    await asyncio.sleep(30)
    assert sink.heard == [(0.0, "data")]
    stream.resume()
    assert sink.heard == [(0.0, "data"), (30.0, "data"), (30.0, "closed")]
    assert sink.failure is None


@virtual
async def test_the_deadline_ends_a_paused_stream_too() -> None:
    _, stream = await open_stream(PACED, timing(deadline=5))
    sink = Sink()
    stream.attach(sink)
    stream.pause()
    await sink.done.wait()
    assert sink.heard == [(0.0, "data"), (5.0, "attempt_timeout")]


@virtual
async def test_a_sink_may_abort_in_the_middle_of_its_data_and_hears_nothing_more() -> None:
    upstream, stream = await open_stream(Behaviour())
    sink = Sink(lambda: stream.abort())
    stream.attach(sink)
    stream.abort()
    await asyncio.sleep(10)
    assert sink.heard == [(0.0, "data")]
    assert upstream.in_flight == 0


@virtual
async def test_a_sink_may_pause_and_resume_in_the_middle_of_its_data() -> None:
    _, stream = await open_stream(PACED)

    def hesitate() -> None:
        stream.pause()
        stream.resume()

    sink = Sink(hesitate)
    stream.attach(sink)
    await sink.done.wait()
    assert [what for _, what in sink.heard] == ["data"] * 4 + ["closed"]


@virtual
async def test_aborting_before_anyone_listens_leaves_nothing_behind() -> None:
    upstream, stream = await open_stream(PACED)
    stream.abort()
    sink = Sink()
    stream.attach(sink)
    await asyncio.sleep(10)
    assert (sink.heard, upstream.in_flight) == ([], 0)


@pytest.mark.parametrize("behaviour", [PACED, Behaviour(script=("hang",))])
@virtual
async def test_cancelling_send_ends_the_call_at_once(behaviour: Behaviour) -> None:
    upstream = MockUpstream()
    task = asyncio.create_task(upstream.send(wire(behaviour), timing()))
    await asyncio.sleep(0.5)
    assert upstream.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (upstream.in_flight, elapsed()) == (0, 0.5)


@virtual
async def test_closing_the_upstream_disconnects_those_who_wait_and_those_who_listen() -> None:
    upstream, stream = await open_stream(PACED)
    sink = Sink()
    stream.attach(sink)
    waiting = asyncio.create_task(upstream.send(wire(PACED), timing()))
    await asyncio.sleep(0.5)
    await upstream.close()
    assert sink.heard[-1] == (0.5, "disconnected")
    with pytest.raises(UpstreamFailure, match="closed"):
        await waiting
    assert upstream.in_flight == 0
