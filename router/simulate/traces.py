"""Reads the requests to replay: the Azure LLM traces, plain CSV, or the router's own access log."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from router.core.simulator.model import TracedRequest
from router.core.types import KINDS, Kind
from router.simulate.errors import SimulateError

_COLUMNS: Mapping[str, str] = {
    "timestamp": "time",
    "arrived": "time",
    "time": "time",
    "contexttokens": "prompt",
    "prompt_tokens": "prompt",
    "generatedtokens": "output",
    "output_tokens": "output",
    "completion_tokens": "output",
    "model": "model",
    "session": "session",
}
"""A column's name, in lower case, to what it holds."""
_NEEDED = ("time", "prompt", "output")
_EXPECTED = "TIMESTAMP,ContextTokens,GeneratedTokens or timestamp,prompt_tokens,output_tokens[,model][,session]"


@dataclass(frozen=True, slots=True)
class Trace:
    """The requests in order of time, the first at 0 s. `skipped` are lines of a log that tell of no served request."""

    requests: tuple[TracedRequest, ...]
    skipped: int = 0

    @property
    def seconds(self) -> float:
        """From the first request to the last."""
        return self.requests[-1].at


class _Line(NamedTuple):
    """`time` in seconds of whatever clock the trace was taken by."""

    time: float
    prompt: int
    output: int
    model: str = ""
    stream: bool = True
    kind: Kind = "chat"
    session: str = ""


def read_trace(path: Path, limit: int | None = None) -> Trace:
    """The trace in a file, or its first `limit` requests. Raises SimulateError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SimulateError(f"{path}: cannot read the trace: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SimulateError(f"{path}: the trace is not UTF-8 text") from None
    rows = text.splitlines()
    first = next((row for row in rows if row.strip()), "")
    try:
        lines, skipped = _log(rows) if first.startswith("{") else (list(_csv(rows)), 0)
    except SimulateError as error:
        raise SimulateError(f"{path}:{error}") from None
    if not lines:
        raise SimulateError(f"{path}: no requests in it")
    lines.sort(key=lambda line: line.time)
    began = lines[0].time
    requests = (TracedRequest(line.time - began, *line[1:]) for line in lines[:limit])
    return Trace(tuple(requests), skipped)


def at_rate(trace: Trace, factor: float) -> Trace:
    """The same requests, `factor` times as many a second."""
    return replace(trace, requests=tuple(one._replace(at=one.at / factor) for one in trace.requests))


def _csv(rows: Iterable[str]) -> Iterator[_Line]:
    reader = csv.reader(rows)
    header = [_COLUMNS.get(name.strip().lower(), "") for name in next(reader, [])]
    if any(name not in header for name in _NEEDED):
        raise SimulateError(f"1: expected the columns {_EXPECTED}, or the router's access log")
    for row in reader:
        if not row:
            continue
        fields = dict(zip(header, row, strict=False))
        try:
            prompt, output = int(fields["prompt"]), int(fields["output"])
            if prompt < 0 or output < 0:
                raise ValueError
            model, session = (fields.get(name, "").strip() for name in ("model", "session"))
            yield _Line(_seconds(fields["time"]), prompt, output, model, session=session)
        except (KeyError, ValueError):
            raise SimulateError(f"{reader.line_num}: expected a time and two numbers of tokens") from None


def _log(rows: Iterable[str]) -> tuple[list[_Line], int]:
    """What upstream never answered has no sizes, and other events are no requests: both are skipped."""
    lines, skipped = [], 0
    for number, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        try:
            entry = orjson.loads(row)
            line = _logged(entry) if isinstance(entry, dict) and entry.get("event") == "request" else None
        except (KeyError, TypeError, ValueError):
            raise SimulateError(f"{number}: not a line of the router's access log") from None
        if line is None:
            skipped += 1
        else:
            lines.append(line)
    return lines, skipped


def _logged(entry: Mapping[str, Any]) -> _Line | None:
    prompt, output, kind = entry["prompt_tokens"], entry["completion_tokens"], entry["kind"]
    if prompt is None or output is None or kind not in KINDS:
        return None
    return _Line(_seconds(entry["time"]), int(prompt), int(output), str(entry["model"]), bool(entry["stream"]), kind)


def _seconds(text: str) -> float:
    """A number of seconds, or a date and time; without a zone it is UTC."""
    try:
        seconds = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not isfinite(seconds):
        raise ValueError("not a time")
    return seconds
