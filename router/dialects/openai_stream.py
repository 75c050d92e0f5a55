"""OpenAI's stream to an OpenAI client: events pass as bytes, and only those that can carry a fact are parsed."""

from __future__ import annotations

from typing import Any

import orjson

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import Usage
from router.dialects.recognise import kind_of, read_error
from router.dialects.sse import EventSplitter, EventTooLarge, payload

DONE = b"data: [DONE]\n\n"
_CONTENT = ("content", "tool_calls", "reasoning_content", "reasoning", "refusal", "function_call", "audio")


def read_usage(document: Any) -> Usage | None:
    """The token counts of a `usage` object; None where it is none."""
    if not isinstance(document, dict):
        return None
    prompt, completion = document.get("prompt_tokens"), document.get("completion_tokens", 0)
    if isinstance(prompt, int) and isinstance(completion, int):
        return Usage(prompt, completion)
    return None


class OpenAIStream:
    """See `StreamDecoder`. Blocks of well-formed events without usage, error or end are returned as they came."""

    __slots__ = ("_finish_seen", "_last", "_splitter", "_wants_usage", "failure", "finished", "started", "usage")

    def __init__(self, wants_usage: bool) -> None:
        self.started = False
        self.finished = False
        self.failure: UpstreamFailure | None = None
        self.usage: Usage | None = None
        self._wants_usage = wants_usage
        self._splitter = EventSplitter()
        self._finish_seen = False
        self._last = b""

    def feed(self, data: bytes) -> bytes:
        if self.finished or self.failure is not None:
            return b""
        try:
            block = self._splitter.feed(data)
        except EventTooLarge as error:
            self.failure = UpstreamFailure(FailureKind.PROTOCOL, str(error))
            return b""
        if not block:
            return b""
        if self.started and self._is_plain(block):
            self._last = block
            return block
        return self._read(block)

    def end(self) -> bytes:
        owed = b""
        if self._splitter.rest and not self.finished and self.failure is None:
            owed = self._read(self._splitter.rest + b"\n\n")
        if self.finished or self.failure is not None:
            return owed
        if not self._finish_seen and self._last:
            self._read(self._last)
        if self._finish_seen:
            self.finished = True
            return owed + DONE
        return owed

    @staticmethod
    def _is_plain(block: bytes) -> bool:
        """Every event is one line `data: {…}` with a `choices`, and none can hold a usage, an error or the end."""
        events = block.count(b"\n\n")
        return (
            block.startswith(b"data: {")
            and block.count(b"\n") == 2 * events
            and block.count(b"\n\ndata: {") == events - 1
            and block.count(b'"choices"') == events
            and b'"usage":{' not in block
            and b'"usage": {' not in block
            and b'"error"' not in block
        )

    def _read(self, block: bytes) -> bytes:
        """Parse event by event; returns the frames that are for the client."""
        frames = []
        for event in block.split(b"\n\n"):
            text = payload(event)
            if not text:
                continue
            if text == b"[DONE]":
                self.finished = True
                frames.append(DONE)
                break
            if self._note(text):
                frames.append(b"data: " + text.replace(b"\n", b"") + b"\n\n")
            if self.failure is not None:
                break
        return b"".join(frames)

    def _note(self, text: bytes) -> bool:
        """Take the facts from one event. Returns whether the client is to have it."""
        try:
            chunk = orjson.loads(text)
        except orjson.JSONDecodeError:
            self.failure = UpstreamFailure(FailureKind.BAD_REPLY, "sent an event that is no JSON")
            return False
        if not isinstance(chunk, dict):
            self.failure = UpstreamFailure(FailureKind.BAD_REPLY, "sent an event that is no JSON object")
            return False
        if chunk.get("error"):
            self.failure = error_failure(chunk)
            return False
        usage = read_usage(chunk.get("usage"))
        if usage is not None:
            self.usage = usage
        choices = chunk.get("choices")
        if not choices:
            return self._wants_usage or usage is None
        for choice in choices:
            if choice.get("finish_reason"):
                self.started = self._finish_seen = True
            elif choice.get("text"):
                self.started = True
            else:
                delta = choice.get("delta") or {}
                if any(delta.get(name) for name in _CONTENT):
                    self.started = True
        return True


def error_failure(document: Any) -> UpstreamFailure:
    """The facts of an error that came with a success's status."""
    error = read_error(document)
    status = int(error.code) if error.code.isdigit() and len(error.code) == 3 else 400
    kind = kind_of(status, error)
    if kind is FailureKind.REJECTED:
        kind = FailureKind.BAD_REPLY
    shown = kind in (FailureKind.CONTEXT_WINDOW, FailureKind.CONTENT_POLICY)
    return UpstreamFailure(
        kind,
        error.message if shown else "sent an error with status 200",
        status=status if shown else 200,
        body=orjson.dumps({"error": document["error"]}) if shown else b"",
    )
