"""What a run tells: every figure that is promised, ratios paired by round, and who is left out and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import report
from bench.measure import Results, Sample
from bench.ourselves import table
from bench.record import Record


def requests(cpu: float) -> Sample:
    return {"per_second": 1 / cpu, "cpu": cpu, "busy": 0.9, "p50": 0.001, "p99": 0.002, "rss": 2.0**26, "others": 0.01}


def latency(milliseconds: float) -> Sample:
    return {"rate": 250.0, "p50": milliseconds / 1e3, "p99": milliseconds / 500, "others": 0.01}


def streams(cpu: float, first: float) -> Sample:
    return {
        "streams": 100.0, "cpu": cpu, "delivered": 1.0, "first_p50": first, "first_p99": 2 * first, "others": 0.01,
    }  # fmt: skip


@pytest.fixture
def record() -> Record:
    """Three rounds in which the machine became slower and slower, and the ratios stayed."""
    drift = (1.0, 2.0, 3.0)
    record = Record("2026-11-26T00:00:00+00:00", "a machine", 3, 2, {"router": "1.0", "nginx": "1.22"})
    record.failures["envoy"] = "not installed (make bench-peers)"
    record.ready = {"router": [0.9, 1.1], "nginx": [0.1]}
    record.rss = {"router": [2.0**26], "nginx": [2.0**22]}
    record.results = {
        "requests": Results(
            {"router": [requests(8e-5 * each) for each in drift], "nginx": [requests(2e-5 * each) for each in drift]},
            {},
        ),
        "latency": Results(
            {"direct": [latency(0.2)] * 3, "router": [latency(1.2), None, latency(1.4)], "nginx": [latency(0.8)] * 3},
            {"router": "12 of 500 requests failed"},
        ),
        "streams": Results(
            {
                "direct": [streams(0.0, 0.001)] * 3,
                "router": [streams(6e-6 * each, 0.003) for each in drift],
                "nginx": [streams(5e-6 * each, 0.002) for each in drift],
            },
            {},
        ),
    }
    record.sustained = {"direct": 4000, "router": 3900, "nginx": 1500}
    return record


def row(text: str, title: str, name: str) -> list[str]:
    lines = text.partition(f"**{title}")[2].splitlines()
    line = next(line for line in lines if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_the_tables_have_every_figure(record: Record) -> None:
    text = report.markdown(record)
    router = row(text, "As many requests", "router")
    assert router == ["6,250", "**0.250** (0.250–0.250)", "–", "160", "**4.00** (4.00–4.00)", "–", "90", "1.00", "2.00"]
    assert row(text, "Latency", "router") == ["250", "1.30", "2.60", "1.10", "2.20"]
    found = row(text, "Streams", "router")
    assert found == ["100", "12.0", "**1.20** (1.20–1.20)", "–", "100", "2.00", "4.00", "≥ 3,900"]
    assert row(text, "Streams", "nginx")[-1] == "1,500"
    assert row(text, "The processes", "router") == ["1.0", "0.90", "64", "64"]


def test_who_is_left_out_is_named_with_the_reason(record: Record) -> None:
    text = report.markdown(record)
    assert "- **envoy**: not installed (make bench-peers)" in text
    assert "- **router**, latency, 1 of 3 rounds: 12 of 500 requests failed" in text


def test_the_files_hold_the_samples_and_the_ratios(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    written = report.write(record)
    assert [path.suffix for path in written][:2] == [".md", ".json"]
    document = json.loads(written[1].read_text())
    assert document["ratios"]["streams.cpu"]["router"]["nginx"]["median"] == pytest.approx(1.2)
    assert document["ratios"]["requests.cpu"]["router"]["vllm-router"] is None
    assert document["results"]["latency"]["samples"]["router"][1] is None


def test_the_parts_of_the_router_are_told_beside_the_first_of_them(record: Record) -> None:
    lines = table(record.results["requests"], ["nginx", "router", "other"]).splitlines()
    assert lines[0] == "| | CPU µs per request | over nginx | requests/s |"
    assert lines[3] == "| router | 160.0 | **4.000** (4.000–4.000) | 6,250 |"
    assert lines[4] == "| other | – | – | – |"
