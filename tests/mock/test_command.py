"""`llm-router mock` as a process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from router.mock.command import run

RUN = "import sys, json; from router.mock.command import run; run(**json.loads(sys.argv[1]))"


@contextmanager
def mock_process(**arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running process, and the URL it printed."""
    command = [sys.executable, "-c", RUN, json.dumps({"port": 0} | arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(r"mock upstream listening on (http://127\.0\.0\.1:([1-9]\d*)/v1)\n", line)
            assert found, line
            yield process, found[1]
        finally:
            process.kill()


def stats(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/mock/stats", timeout=10) as reply:
        return dict(json.load(reply))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_real_address_and_ends_quietly_on_a_signal(number: signal.Signals) -> None:
    with mock_process() as (process, url):
        assert stats(url)["started"] == 0
        process.send_signal(number)
        assert process.wait(10) == 0


def test_its_arguments_make_the_behaviour() -> None:
    with mock_process(ttft=0.2, tps=50, tokens=64, script="ok,503,ok", failure_rate=0.1, rate_limit_headers=True) as (
        _,
        url,
    ):
        assert stats(url)["behaviour"] == {
            "time_to_first_token": 0.2,
            "tokens_per_second": 50,
            "output_tokens": 64,
            "script": ["ok", "503", "ok"],
            "failure_rate": 0.1,
            "failure": "503",
            "retry_after": None,
            "rate_limit_headers": True,
            "reply": "",
            "healthy": True,
        }


def test_an_unknown_step_is_refused_before_anything_listens() -> None:
    with pytest.raises(ValueError, match="unknown step 'sleep'"):
        run(port=0, script="ok,sleep")
