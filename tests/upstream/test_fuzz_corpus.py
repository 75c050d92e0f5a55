"""What the fuzzer has found worth keeping, replayed: `make fuzz` looks for more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.target import choices, read, run

CORPUS = sorted((Path(__file__).parent.parent / "fuzz" / "corpus").iterdir())


def test_every_input_of_the_corpus_keeps_the_promises() -> None:
    assert len(CORPUS) > 100
    for path in CORPUS:
        try:
            run(path.read_bytes())
        except Exception as error:
            pytest.fail(f"{path.name}: {error!r}")


def test_every_transcript_and_attack_keeps_them_however_it_is_cut_and_ended() -> None:
    for seed in seeds():
        for flags in range(0, 128, 5):
            run(bytes([flags, flags]) + seed[2:])


def test_the_corpus_is_small_and_has_both_good_and_bad_responses() -> None:
    assert len(CORPUS) <= 300
    assert sum(path.stat().st_size for path in CORPUS) <= 300_000
    texts = [path.read_bytes() for path in CORPUS]
    whole = [read([text[2:]], choices(text[0], text[1]).limits) for text in texts if len(text) > 2]
    assert sum(outcome is not None for outcome in whole) > 10
    assert sum(outcome is None for outcome in whole) > 10


def test_a_broken_promise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"\x00\x07HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    run(text)
    calls = 0

    def read_differently(pieces: list[bytes], limits: object) -> object:
        nonlocal calls
        calls += 1
        return (200, {}, b"%d" % calls)

    monkeypatch.setattr("tests.fuzz.target.read", read_differently)
    with pytest.raises(AssertionError, match="two readings"):
        run(text)
