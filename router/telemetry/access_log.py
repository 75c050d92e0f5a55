"""One JSON line a request: what was asked, who served it, how long it took. Never a prompt, never a secret."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import orjson

from router.core.events import Finished
from router.telemetry.files import RotatingFile
from router.telemetry.writer import LineWriter

MOST_METADATA = 16384
"""Bytes of a client's metadata that a line holds: what OpenAI allows (16 pairs of 64 and 512 characters), in UTF-8."""


class AccessLog:
    """Called with every finished request. `path` is a file's, or `-` for standard output."""

    def __init__(self, path: str, max_bytes: int = 0, files: int = 0) -> None:
        """`max_bytes` and `files`: see `RotatingFile`. Raises OSError where the file cannot be opened."""
        self._file = None if path == "-" else RotatingFile(path, max_bytes, files)
        self._unmade = 0
        self._writer = LineWriter(self._file.write if self._file else _write_out)

    @property
    def dropped(self) -> int:
        """Lines lost because the queue was full, the file could not be written, or the line not be made."""
        return self._writer.dropped + self._unmade

    def __call__(self, event: Finished) -> None:
        """The line is made here and now: what it is made of is still in the processor's cache, and no longer needed."""
        try:
            line = render(event)
        except Exception:  # what a client has put into its metadata costs one line, not the request
            self._unmade += 1
            return
        self._writer.put(line)

    def close(self) -> None:
        self._writer.close()
        if self._file is not None:
            self._file.close()


def _write_out(lines: bytes) -> None:
    view = memoryview(lines)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]


def _micro(seconds: float) -> float:
    """To the microsecond, for what is not negative; `round` would go through decimal digits."""
    return int(seconds * 1e6 + 0.5) / 1e6


def render(event: Finished) -> bytes:
    """The line of one request; times in seconds, cost in US dollars, null where unknown."""
    usage = event.usage
    line = {
        "time": datetime.fromtimestamp(event.received, UTC),
        "event": "request",
        "request_id": event.request_id,
        "kind": event.kind,
        "key": event.key,
        "team": event.team or None,
        "model": event.model,
        "served_by": event.served_by,
        "deployment": event.deployment,
        "provider": event.provider,
        "stream": event.stream,
        "status": event.status,
        "outcome": event.outcome,
        "error": event.error or None,
        "attempts": event.attempts,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "cached_tokens": usage.cached_tokens if usage else None,
        "reasoning_tokens": usage.reasoning_tokens if usage else None,
        "audio_tokens": usage.audio_prompt_tokens + usage.audio_completion_tokens if usage else None,
        "usage_estimated": usage.estimated if usage else None,
        "cost": event.cost,
        "duration": _micro(event.duration),
        "first_token": None if event.first_token is None else _micro(event.first_token),
        "upstream": _micro(event.upstream),
    }
    if event.trace is not None:
        line["trace_id"] = f"{event.trace.trace_id:032x}"
        line["span_id"] = f"{event.trace.span_id:016x}"
    if event.metadata is not None:
        text = orjson.dumps(event.metadata)
        line["metadata"] = event.metadata if len(text) <= MOST_METADATA else {"omitted_bytes": len(text)}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
