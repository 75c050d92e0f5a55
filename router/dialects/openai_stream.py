"""OpenAI's stream to an OpenAI client: events pass as bytes, and only those that can carry a fact are parsed."""

from __future__ import annotations

from typing import Any, Final

import orjson

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import Usage
from router.dialects.recognise import (
    error_body,
    filtered,
    filtered_failure,
    has_openais_shape,
    is_error,
    kind_of,
    read_error,
)
from router.dialects.sse import EventSplitter, EventTooLarge, payload
from router.dialects.usage import read_usage

DONE = b"data: [DONE]\n\n"
_TEXT = b'"content":"'
_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C
_LINE_END: Final = 0x0A
_CONTENT = ("content", "tool_calls", "reasoning_content", "reasoning", "refusal", "function_call", "audio")


class OpenAIStream:
    """See `StreamDecoder`. Blocks of well-formed events without usage, error or end are returned as they came.

    A stream's events are alike but for a few letters of text. Once one has been found plain, those that begin and end
    as it did, with a piece of text and nothing else between, are known by that alone.
    """

    __slots__ = (
        "_begin",
        "_end",
        "_finish_seen",
        "_moves_filtered",
        "_splitter",
        "_wants_usage",
        "failure",
        "finished",
        "started",
        "usage",
    )

    def __init__(self, wants_usage: bool, moves_filtered: bool = False) -> None:
        self.started = False
        self.finished = False
        self.failure: UpstreamFailure | None = None
        self.usage: Usage | None = None
        self._wants_usage = wants_usage
        self._moves_filtered = moves_filtered
        self._splitter = EventSplitter()
        self._finish_seen = False
        self._begin = self._end = b""

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
        if self.started and (self._has_shape(block, 0, len(block)) or self._is_plain(block)):
            return block
        return self._read(block)

    def is_alike(self, data: bytes, start: int, end: int) -> bool:
        """See `Recognises`."""
        return self._has_shape(data, start, end) and not self.finished and self._splitter.between

    def end(self) -> bytes:
        owed = b""
        if self._splitter.rest and not self.finished and self.failure is None:
            owed = self._read(self._splitter.rest + b"\n\n")
        if self.finished or self.failure is not None:
            return owed
        if self._finish_seen:
            self.finished = True
            return owed + DONE
        return owed

    def _has_shape(self, data: bytes, start: int, end: int) -> bool:
        """Whether `data[start:end]` is as the plain event was, with another text."""
        begin, rest = self._begin, self._end
        text, text_end = start + len(begin), end - len(rest)
        if begin == b"" or text > text_end or data[start:text] != begin or data[text_end:end] != rest:
            return False
        piece = data[text:text_end]
        return _QUOTE not in piece and _BACKSLASH not in piece and _LINE_END not in piece

    def _learn(self, block: bytes) -> None:
        """Remember how a single plain event begins and ends, around the text it brings."""
        at = block.find(_TEXT)
        if at >= 0 and block.count(b"\n\n") == 1:
            begin = at + len(_TEXT)
            end = block.find(b'"', begin)
            if b"\\" not in block[begin:end]:
                self._begin, self._end = block[:begin], block[end:]

    def _is_plain(self, block: bytes) -> bool:
        """Every event is one line `data: {…}` with a list of choices, and none can hold a usage, an error or an end."""
        events = block.count(b"\n\n")
        plain = (
            block.startswith(b"data: {")
            and block.count(b"\n") == 2 * events
            and block.count(b"\n\ndata: {") == events - 1
            and _has(block, events, b'"choices":[', b'"choices": [')
            and _has(block, block.count(b'"finish_reason"'), b'"finish_reason":null', b'"finish_reason": null')
            and _has(block, block.count(b'"usage"'), b'"usage":null', b'"usage": null')
            and b'"error"' not in block
        )
        if plain:
            self._learn(block)
        return plain

    def _read(self, block: bytes) -> bytes:
        """Parse event by event; returns the frames that are for the client."""
        frames = []
        for event in block.split(b"\n\n"):
            text = payload(event)
            if not text:
                continue
            if text.strip() == b"[DONE]":
                self.finished = True
                frames.append(DONE)
                break
            frame = self._note(text)
            if frame:
                frames.append(b"data: " + frame.replace(b"\n", b"") + b"\n\n")
            if self.failure is not None:
                break
        return b"".join(frames)

    def _note(self, text: bytes) -> bytes:
        """Take the facts from one event. Returns what the client is to have of it."""
        try:
            chunk = orjson.loads(text)
        except orjson.JSONDecodeError:
            return self._bad("sent an event that is no JSON")
        if not isinstance(chunk, dict):
            return self._bad("sent an event that is no JSON object")
        self.failure = self._failure_in(chunk)
        if self.failure is not None:
            return b""
        usage = read_usage(chunk.get("usage"))
        if usage is not None:
            self.usage = usage
        choices = chunk.get("choices")
        if choices is None:
            text = orjson.dumps({**chunk, "choices": []})  # clients read it from every chunk
        elif not isinstance(choices, list):
            return self._bad("sent choices that are no list")
        if not choices:
            return text if self._wants_usage or usage is None else b""
        for choice in choices:
            if not isinstance(choice, dict) or not isinstance(choice.get("delta") or {}, dict):
                return self._bad("sent a choice that is none")
            if choice.get("finish_reason"):
                self.started = self._finish_seen = True
            elif choice.get("text") or any((choice.get("delta") or {}).get(name) for name in _CONTENT):
                self.started = True
        return text

    def _failure_in(self, chunk: dict[str, Any]) -> UpstreamFailure | None:
        if is_error(chunk):
            return error_failure(chunk)
        if self._moves_filtered and not self.started and filtered(chunk.get("choices")):
            return filtered_failure()
        return None

    def _bad(self, message: str) -> bytes:
        self.failure = UpstreamFailure(FailureKind.BAD_REPLY, message)
        return b""


def _has(block: bytes, times: int, compact: bytes, spaced: bytes) -> bool:
    """Whether a member stands in the block that often, in the one way of writing it or in the other."""
    return not times or block.count(compact) == times or block.count(spaced) == times


def error_failure(document: Any) -> UpstreamFailure:
    """The facts of an error that came with a success's status."""
    error = read_error(document)
    status = int(error.code) if error.code.isdecimal() and len(error.code) == 3 else 400
    kind = kind_of(status, error)
    if kind is FailureKind.REJECTED:
        kind = FailureKind.BAD_REPLY
    shown = kind in (FailureKind.CONTEXT_WINDOW, FailureKind.CONTENT_POLICY)
    body = orjson.dumps({"error": document["error"]}) if has_openais_shape(document) else error_body(error)
    return UpstreamFailure(
        kind,
        error.message if shown else "sent an error with status 200",
        status=status if shown else 200,
        body=body if shown else b"",
    )
