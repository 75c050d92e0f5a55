"""TGI's replies as OpenAI's text completions."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from router.core.errors import FailureKind, UpstreamFailure
from router.core.prompts import Prompt
from router.core.types import Usage
from router.dialects.base import Headers, InferenceRequest
from router.dialects.openai_stream import DONE, error_failure
from router.dialects.recognise import is_error
from router.dialects.sse import EventSplitter, EventTooLarge, payload
from router.dialects.stops import StopTrimmer, trimmed
from router.dialects.tgi.request import stops_of
from router.dialects.usage import document, tokens_of

_FINISHES = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}


class Shape:
    """What every document and event of one reply has: `text_completion`s of the model the client asked for."""

    def __init__(self, request: InferenceRequest, headers: Headers) -> None:
        self.head = {
            "id": f"cmpl-{request.id}",
            "object": "text_completion",
            "created": _seconds(headers.get(b"date")),
            "model": request.body.get("model"),
        }
        prompt = request.prompt or Prompt(str(request.body.get("prompt") or ""))
        self.stops = [*stops_of(request.body), *prompt.stop]
        self.prompt_bytes = len(prompt.text.encode("utf-8", "surrogatepass"))
        self.headers = headers

    def choice(self, text: str, finish: str | None) -> dict[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}

    def usage(self, details: Any, said: int) -> Usage:
        """From the reply's details and headers; what neither tells is estimated. `said` in bytes."""
        known = details if isinstance(details, dict) else {}
        prompt = _count(known.get("input_length"), self.headers.get(b"x-prompt-tokens"))
        output = _count(known.get("generated_tokens"), self.headers.get(b"x-generated-tokens"))
        return Usage(
            tokens_of(self.prompt_bytes) if prompt is None else prompt,
            tokens_of(said) if output is None else output,
            estimated=prompt is None or output is None,
        )


def whole(told: Any, shape: Shape) -> tuple[dict[str, Any], Usage]:
    """The text completion of one whole reply. Raises UpstreamFailure(BAD_REPLY) where it is none."""
    if isinstance(told, list) and len(told) == 1:
        (told,) = told
    text = told.get("generated_text") if isinstance(told, dict) else None
    if isinstance(told, dict) and is_error(told):
        raise error_failure(told)
    if not isinstance(text, str):
        raise UpstreamFailure(FailureKind.BAD_REPLY, "sent no generated_text", status=200)
    details = told.get("details")
    usage = shape.usage(details, len(text.encode("utf-8", "surrogatepass")))
    choice = shape.choice(trimmed(text, shape.stops), finish_of(details))
    return {**shape.head, "choices": [choice], "usage": document(usage)}, usage


def finish_of(details: Any) -> str:
    reason = details.get("finish_reason") if isinstance(details, dict) else None
    return _FINISHES.get(reason, "stop") if isinstance(reason, str) else "stop"


class TGIStream:
    """See `StreamDecoder`. The last event has the whole text, and then the reply is complete."""

    def __init__(self, shape: Shape, wants_usage: bool) -> None:
        self._shape = shape
        self._wants_usage = wants_usage
        self._splitter = EventSplitter()
        self._trimmer = StopTrimmer(shape.stops)
        self._said = 0
        self.started = False
        self.finished = False
        self.failure: UpstreamFailure | None = None
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> bytes:
        if self.finished or self.failure is not None:
            return b""
        try:
            block = self._splitter.feed(data)
        except EventTooLarge as error:
            self.failure = UpstreamFailure(FailureKind.PROTOCOL, str(error))
            return b""
        return self._read(block)

    def end(self) -> bytes:
        if self.finished or self.failure is not None or not self._splitter.rest:
            return b""
        return self._read(self._splitter.rest + b"\n\n")

    def _read(self, block: bytes) -> bytes:
        frames = []
        for event in block.split(b"\n\n"):
            text = payload(event).strip()
            if text and text != b"[DONE]" and not self.finished and self.failure is None:
                frames += self._event(text)
        return b"".join(frames)

    def _event(self, text: bytes) -> list[bytes]:
        try:
            told = orjson.loads(text)
        except orjson.JSONDecodeError:
            told = None
        if not isinstance(told, dict):
            self.failure = UpstreamFailure(FailureKind.BAD_REPLY, "sent an event that is no JSON object")
            return []
        if is_error(told):
            self.failure = error_failure(told)
            return []
        frames = self._piece(told.get("token"))
        if told.get("generated_text") is not None:
            frames += self._closing(told.get("details"))
        return frames

    def _piece(self, token: Any) -> list[bytes]:
        text = token.get("text") if isinstance(token, dict) and not token.get("special") else None
        if not isinstance(text, str):
            return []
        self._said += len(text.encode("utf-8", "surrogatepass"))
        return self._shown(self._trimmer.feed(text))

    def _shown(self, text: str) -> list[bytes]:
        if not text:
            return []
        self.started = True
        return [self._frame([self._shape.choice(text, None)])]

    def _closing(self, details: Any) -> list[bytes]:
        frames = self._shown(self._trimmer.end())
        self.started = self.finished = True
        self.usage = self._shape.usage(details, self._said)
        frames.append(self._frame([self._shape.choice("", finish_of(details))]))
        if self._wants_usage:
            frames.append(self._frame([], usage=document(self.usage)))
        return [*frames, DONE]

    def _frame(self, choices: list[dict[str, Any]], **more: object) -> bytes:
        return b"data: " + orjson.dumps({**self._shape.head, "choices": choices, **more}) + b"\n\n"


def _count(told: Any, header: bytes | None) -> int | None:
    if isinstance(told, int) and told >= 0:
        return told
    return int(header) if header is not None and header.isdigit() and len(header) < 10 else None


def _seconds(date: bytes | None) -> int:
    """When upstream replied, since 1970; 0 where it does not say."""
    try:
        return 0 if date is None else int(parsedate_to_datetime(date.decode("latin-1")).timestamp())
    except (ValueError, OverflowError):
        return 0
