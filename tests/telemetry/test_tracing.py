"""What is sent, and what is lost, whatever the collector does. The collector itself: tests/edge/test_tracing.py."""

from __future__ import annotations

import threading
from random import Random

import orjson
import pytest

from router.core.events import Finished
from router.core.trace import CONTENT_LIMIT
from router.telemetry import tracing, writer
from router.telemetry.content import answered, asked
from router.telemetry.tracing import Tracing
from tests.telemetry.records import record_of

SOON = 10.0


class Collecting:
    """A sender that delivers, or not."""

    def __init__(self, *, delivers: bool = True) -> None:
        self.delivers = delivers
        self.batches: list[list[Finished]] = []
        self.waiting = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def send(self, events: list[Finished]) -> bool:
        self.waiting.set()
        assert self.open.wait(SOON)
        self.batches.append(events)
        return self.delivers

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def no_batching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "BATCH_SECONDS", 0.0)


def traces(sender: Collecting, told: list[bool] | None = None, ratio: float = 1.0) -> Tracing:
    return Tracing(sender, ratio, False, Random(1), (told if told is not None else []).append)


def finished(traced: Tracing, number: int = 0) -> Finished:
    return record_of(f"r{number}", "chat", trace=traced.begin({}, 0.0))


def test_every_sampled_request_is_sent_in_batches_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "BATCH_REQUESTS", 10)
    sender = Collecting()
    traced = traces(sender)
    for number in range(95):
        traced(finished(traced, number))
    traced.close()
    assert [event.request_id for batch in sender.batches for event in batch] == [f"r{number}" for number in range(95)]
    assert max(map(len, sender.batches)) <= 10
    assert (traced.sent, traced.dropped) == (95, 0)


def test_a_ratio_is_kept_on_the_whole() -> None:
    traced = traces(Collecting(), ratio=0.25)
    sampled = sum(traced.begin({}, 0.0).sampled for _ in range(4000))
    traced.close()
    assert 850 < sampled < 1150


def test_a_collector_that_hangs_costs_spans_and_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MOST_WAITING", 10)
    sender = Collecting()
    sender.open.clear()
    traced = traces(sender)
    traced(finished(traced))
    assert sender.waiting.wait(SOON)
    for number in range(30):
        traced(finished(traced, number))
    assert traced.dropped == 20
    sender.open.set()
    traced.close()
    assert traced.sent == 11


def test_the_end_of_delivery_is_told_once_and_so_is_its_return() -> None:
    told: list[bool] = []
    sender = Collecting(delivers=False)
    traced = traces(sender, told)
    for _ in range(3):
        traced(finished(traced))
    while traced.dropped < 3:
        sender.waiting.wait(0.01)
    assert told == [False]
    sender.delivers = True
    traced(finished(traced))
    traced.close()
    assert told == [False, True]
    assert (traced.sent, traced.dropped) == (1, 3)


def test_a_request_is_not_sent_where_it_is_not_traced() -> None:
    sender = Collecting()
    traced = traces(sender, ratio=0.0)
    traced(finished(traced))
    traced(Finished("r", "chat"))
    traced.close()
    assert sender.batches == []


def test_a_writer_counts_what_it_has_written() -> None:
    lines = writer.LineWriter(lambda _: None)
    for _ in range(3):
        lines.put(b"x\n")
    lines.close()
    assert (lines.written, lines.dropped) == (3, 0)


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ({"messages": [{"role": "user", "content": "hi"}]}, [("user", [{"type": "text", "content": "hi"}])]),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
         [("user", [{"type": "text", "text": "hi"}])]),
        ({"prompt": "once"}, [("user", [{"type": "text", "content": "once"}])]),
        ({"input": "embed me"}, [("user", [{"type": "text", "content": "embed me"}])]),
        ({"messages": ["odd", {"role": None}]}, [("None", [{"type": "text", "content": None}])]),
    ],
)  # fmt: skip
def test_prompts_become_messages(body: object, messages: list[tuple[str, object]]) -> None:
    assert [(each["role"], each["parts"]) for each in orjson.loads(asked(orjson.dumps(body)))] == messages


def test_a_prompt_that_is_no_json_is_none() -> None:
    assert asked(b"{") == "[]"


def test_a_stream_is_put_together_choice_by_choice_up_to_where_it_was_cut() -> None:
    def frame(index: int, text: str | None) -> bytes:
        delta = {} if text is None else {"content": text}
        return b"data: " + orjson.dumps({"choices": [{"index": index, "delta": delta}]}) + b"\n\n"

    sent = b": keep-alive\n\n" + frame(0, None) + frame(0, "Hel") + frame(1, "Ho") + frame(0, "lo") + frame(1, "la")
    texts = [each["parts"][0]["content"] for each in orjson.loads(answered(sent + b"data: [DONE]\n\n"))]
    assert texts == ["Hello", "Hola"]
    assert "Hello" in answered(sent + frame(0, "x" * CONTENT_LIMIT)[:CONTENT_LIMIT])
