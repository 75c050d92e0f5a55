"""The writer has a thread, so these tests wait: for what must come, never for time to pass."""

from __future__ import annotations

import threading

import pytest

from router.telemetry import writer
from router.telemetry.writer import LineWriter

SOON = 10.0


class Gate:
    """A `write` that waits until it is let through, and says when it is waiting."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.open = threading.Event()
        self.written: list[bytes] = []

    def __call__(self, lines: bytes) -> None:
        self.waiting.set()
        assert self.open.wait(SOON)
        self.written.append(lines)


@pytest.fixture(autouse=True)
def no_batching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BATCH_SECONDS", 0.0)


def test_lines_are_written_in_order_and_all_of_them_by_close() -> None:
    written: list[bytes] = []
    lines = LineWriter(written.append)
    for index in range(1000):
        lines.put(f"line {index}\n".encode())
    lines.close(SOON)
    assert b"".join(written).decode().splitlines() == [f"line {index}" for index in range(1000)]
    assert lines.dropped == 0


def test_lines_are_written_on_the_thread() -> None:
    threads: list[str] = []
    lines = LineWriter(lambda _: threads.append(threading.current_thread().name))
    lines.put(b"a\n")
    lines.close(SOON)
    assert threads == ["log-writer"]


def test_many_lines_are_written_some_at_a_time() -> None:
    gate = Gate()
    lines = LineWriter(gate)
    lines.put(b"first\n")
    assert gate.waiting.wait(SOON)
    for _ in range(writer.LINES_AT_ONCE + 1):
        lines.put(b"line\n")
    gate.open.set()
    lines.close(SOON)
    assert [piece.count(b"\n") for piece in gate.written] == [1, writer.LINES_AT_ONCE, 1]


def test_when_full_it_drops_and_counts_and_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "QUEUE_LINES", 10)
    gate = Gate()
    lines = LineWriter(gate)
    lines.put(b"first\n")
    assert gate.waiting.wait(SOON), "the thread is stuck in write"
    for index in range(15):
        lines.put(f"line {index}\n".encode())
    assert lines.dropped == 5
    gate.open.set()
    lines.close(SOON)
    assert b"".join(gate.written).decode().splitlines() == ["first", *(f"line {index}" for index in range(10))]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("I/O operation on closed file")])
def test_a_failing_write_costs_its_batch_and_no_more(error: Exception) -> None:
    written: list[bytes] = []
    failed = threading.Event()

    def write(lines: bytes) -> None:
        if not failed.is_set():
            failed.set()
            raise error
        written.append(lines)

    lines = LineWriter(write)
    lines.put(b"lost\n")
    assert failed.wait(SOON)
    lines.put(b"kept\n")
    lines.close(SOON)
    assert b"".join(written) == b"kept\n"
    assert lines.dropped == 1


def test_close_waits_no_longer_than_it_was_told() -> None:
    gate = Gate()
    lines = LineWriter(gate)
    lines.put(b"a\n")
    assert gate.waiting.wait(SOON)
    lines.close(0.0)
    gate.open.set()


def test_a_program_may_end_while_a_write_hangs() -> None:
    lines = LineWriter(lambda _: None)
    assert lines._worker.daemon
    lines.close(SOON)
    assert not lines._worker.is_alive()


def test_what_comes_after_a_piece_that_could_not_be_written_is_written() -> None:
    gate, tried = Gate(), []

    def write(lines: bytes) -> None:
        gate(lines)
        tried.append(lines)
        if len(tried) == 2:
            raise OSError(28, "No space left on device")

    lines = LineWriter(write)
    lines.put(b"first\n")
    assert gate.waiting.wait(SOON)
    for index in range(2 * writer.LINES_AT_ONCE):
        lines.put(f"line {index}\n".encode())
    gate.open.set()
    lines.close(SOON)
    assert [piece.count(b"\n") for piece in tried] == [1, writer.LINES_AT_ONCE, writer.LINES_AT_ONCE]
    assert (lines.dropped, lines.written) == (writer.LINES_AT_ONCE, 1 + writer.LINES_AT_ONCE)
