from __future__ import annotations

import os
import stat
from pathlib import Path

import orjson
import pytest

from router.core.events import Finished
from router.core.types import Usage
from router.telemetry.access_log import AccessLog, render
from tests.telemetry.records import record_of

FULL = record_of(
    "req-1", "chat", key="search-team", team="search", model="gpt", served_by="backup", deployment="east",
    provider="openai", stream=True, status=200, outcome="ok", attempts=2, usage=Usage(100, 20, 60, 0, 4, 5, 3),
    cost=0.0125,
    received=1_795_000_000.1234, duration=1.23456789, first_token=0.30000049, upstream=1.20000049,
)  # fmt: skip


def test_a_line_has_exactly_these_fields() -> None:
    line = render(FULL)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    shown = orjson.loads(line)
    assert shown.pop("time").startswith("2026-11-18T")
    assert shown == {
        "event": "request",
        "request_id": "req-1",
        "kind": "chat",
        "key": "search-team",
        "team": "search",
        "model": "gpt",
        "served_by": "backup",
        "deployment": "east",
        "provider": "openai",
        "stream": True,
        "status": 200,
        "outcome": "ok",
        "error": None,
        "attempts": 2,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "cached_tokens": 60,
        "reasoning_tokens": 5,
        "audio_tokens": 7,
        "usage_estimated": False,
        "cost": 0.0125,
        "duration": 1.234568,
        "first_token": 0.3,
        "upstream": 1.2,
    }


def test_the_time_is_in_utc_and_says_so() -> None:
    time = orjson.loads(render(record_of("r", "chat", received=1_795_000_000.5)))["time"]
    assert time.startswith("2026-11-18T11:06:40.5")
    assert time.endswith(("+00:00", "Z"))


def test_what_is_unknown_is_null() -> None:
    shown = orjson.loads(render(record_of("req-1", "chat", status=503, outcome="error", error="timeout")))
    assert [shown[name] for name in ("prompt_tokens", "completion_tokens", "cost", "first_token")] == [None] * 4
    assert shown["error"] == "timeout"
    assert shown["model"] == "other"


def test_nothing_given_is_free() -> None:
    shown = orjson.loads(render(record_of("req-1", "chat", usage=Usage(0, 0), cost=0.0, first_token=0.0)))
    assert [shown[name] for name in ("prompt_tokens", "completion_tokens", "cost", "first_token")] == [0, 0, 0.0, 0.0]


@pytest.mark.parametrize("text", ['a"b', "a\nb", "a\\b", "é\u2028", "\x00"])
def test_a_line_stays_one_line_whatever_is_in_it(text: str) -> None:
    line = render(record_of(text, "chat", error=text))
    assert line.count(b"\n") == 1
    assert orjson.loads(line)["request_id"] == text


def test_requests_are_written_after_what_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"an older line\n")
    log = AccessLog(str(path))
    log(FULL)
    log(FULL)
    log.close()
    assert path.read_bytes() == b"an older line\n" + render(FULL) * 2
    assert log.dropped == 0


def test_a_new_file_is_not_for_everybody_to_read(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    AccessLog(str(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_closing_closes_the_file(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    AccessLog(str(tmp_path / "access.log")).close()
    assert len(os.listdir("/dev/fd")) == before


def test_a_file_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        AccessLog(str(tmp_path / "no" / "such" / "folder"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_counted() -> None:
    log = AccessLog("/dev/full")
    log(FULL)
    log.close()
    assert log.dropped == 1


def test_a_line_that_cannot_be_made_is_counted_and_costs_no_more(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"))
    log(record_of("bad", "chat", metadata={"what": object()}))
    log(Finished("good", "chat"))
    log.close()
    assert log.dropped == 1
    assert [orjson.loads(line)["request_id"] for line in (tmp_path / "access.log").read_bytes().splitlines()] == [
        "good"
    ]
