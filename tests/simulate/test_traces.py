"""Reading what is to be replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router.core.simulator.model import TracedRequest
from router.core.types import Usage
from router.simulate.errors import SimulateError
from router.simulate.traces import Trace, at_rate, read_trace
from router.telemetry.access_log import AccessLog, render
from tests.telemetry.records import record_of

DATA = Path(__file__).parent.parent / "data"


def read(tmp_path: Path, text: str, limit: int | None = None) -> Trace:
    path = tmp_path / "trace"
    path.write_text(text)
    return read_trace(path, limit)


@pytest.mark.parametrize(
    ("name", "first", "seconds"),
    [
        ("azure-llm-2023-conv-2000.csv", TracedRequest(0.0, 374, 44), 424.259),
        ("azure-llm-2023-code-2000.csv", TracedRequest(0.0, 4808, 10), 853.079),
    ],
)
def test_the_azure_traces_are_read(name: str, first: TracedRequest, seconds: float) -> None:
    trace = read_trace(DATA / name)
    assert len(trace.requests) == 2000
    assert trace.requests[0] == first
    assert trace.seconds == pytest.approx(seconds, abs=0.001)
    assert [one.at for one in trace.requests] == sorted(one.at for one in trace.requests)


def test_the_samples_keep_their_attribution() -> None:
    notice = (DATA / "README.md").read_text()
    for words in ("Azure LLM inference trace 2023", "CC-BY", "Splitwise", "first 2,000"):
        assert words in notice


def test_plain_csv_may_name_models_and_be_out_of_order(tmp_path: Path) -> None:
    text = "timestamp,prompt_tokens,output_tokens,model,session\n12.5,10,20,a,s\n10,30,40,b\n\n11,1,0,\n"
    assert read(tmp_path, text).requests == (
        TracedRequest(0.0, 30, 40, "b"),
        TracedRequest(1.0, 1, 0, ""),
        TracedRequest(2.5, 10, 20, "a", session="s"),
    )


def test_columns_may_stand_in_any_order_among_others(tmp_path: Path) -> None:
    text = "\ufeffuser,Output_Tokens,timestamp,prompt_tokens\nx,5,2023-11-16T18:00:00Z,7\nx,6,2023-11-16 18:00:01,8\n"
    assert read(tmp_path, text).requests == (TracedRequest(0.0, 7, 5), TracedRequest(1.0, 8, 6))


def finished(**fields: Any) -> str:
    given: dict[str, Any] = {"model": "gpt", "received": 1.0, "usage": Usage(10, 20), "stream": True} | fields
    return render(record_of("req-1", given.pop("kind", "chat"), **given)).decode()


def test_the_routers_own_log_is_read_by_when_requests_came_in(tmp_path: Path) -> None:
    lines = [
        finished(received=5.0),
        finished(received=3.0, stream=False, kind="embedding", usage=Usage(7, 0), model="embed"),
        finished(received=4.0, usage=None, status=503),
        json.dumps({"event": "listening", "time": "2026-01-01T00:00:00Z"}) + "\n",
        "\n",
    ]
    trace = read(tmp_path, "".join(lines))
    assert trace.skipped == 2
    assert trace.requests == (
        TracedRequest(0.0, 7, 0, "embed", False, "embedding"),
        TracedRequest(2.0, 10, 20, "gpt", True, "chat"),
    )


def test_only_so_many_are_read(tmp_path: Path) -> None:
    text = "timestamp,prompt_tokens,output_tokens\n" + "".join(f"{at},1,1\n" for at in range(10))
    assert len(read(tmp_path, text, limit=3).requests) == 3


def test_the_rate_makes_time_shorter_and_leaves_sizes_alone(tmp_path: Path) -> None:
    trace = at_rate(read(tmp_path, "timestamp,prompt_tokens,output_tokens\n0,1,2\n10,3,4\n"), 4.0)
    assert trace.requests == (TracedRequest(0.0, 1, 2), TracedRequest(2.5, 3, 4))
    assert trace.seconds == 2.5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ":1: expected the columns"),
        ("a,b,c\n1,2,3\n", ":1: expected the columns"),
        ("timestamp,prompt_tokens,output_tokens\n", "no requests in it"),
        ("timestamp,prompt_tokens,output_tokens\n1,2,3\n1,x,3\n", ":3: expected a time and two numbers"),
        ("timestamp,prompt_tokens,output_tokens\n1,2\n", ":2: expected a time and two numbers"),
        ("timestamp,prompt_tokens,output_tokens\nnan,2,3\n", ":2: expected a time and two numbers"),
        ("timestamp,prompt_tokens,output_tokens\nyesterday,2,3\n", ":2: expected a time and two numbers"),
        ("timestamp,prompt_tokens,output_tokens\n1,-2,3\n", ":2: expected a time and two numbers"),
        ('{"event": "request"}\n', ":1: not a line of the router's access log"),
        ('{"event": "request", \n', ":1: not a line of the router's access log"),
        ('{"event": "listening"}\n', "no requests in it"),
    ],
)
def test_what_is_no_trace_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SimulateError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SimulateError, match="cannot read the trace: No such file"):
        read_trace(tmp_path / "none.csv")


def test_a_log_that_was_put_aside_can_be_replayed(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"), max_bytes=1000, files=5)
    for number in range(8):
        log(record_of(f"r{number}", "chat", model="gpt", usage=Usage(100 + number, 20), received=1e9 + number))
    log.close()
    assert (tmp_path / "access.log.1").exists()
    found = sorted(
        one.prompt_tokens for path in tmp_path.iterdir() if path.stat().st_size for one in read_trace(path).requests
    )
    assert found == [100 + number for number in range(8)]
