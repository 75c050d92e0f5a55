"""A stream of text completions on its way to a chat client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from router.core.types import Usage
from router.dialects.base import StreamDecoder
from router.dialects.failures import UNREADABLE, unreadable
from router.dialects.openai_stream import DONE
from router.dialects.prompt import chat
from router.dialects.sse import payload
from router.dialects.turned import TurnedStream
from router.dialects.usage import document, tokens_of


class ChatStream(TurnedStream):
    """`inner` decodes upstream's stream into `text_completion` events; usage that it does not find is estimated from
    `prompt_tokens` and from what was said."""

    __slots__ = ("_begun", "_last", "_prompt_tokens", "_said", "_wants_usage")

    def __init__(self, inner: StreamDecoder, prompt_tokens: int, wants_usage: bool) -> None:
        super().__init__(inner)
        self._prompt_tokens = prompt_tokens
        self._wants_usage = wants_usage
        self._begun: set[int] = set()
        self._last: Mapping[str, Any] = {}
        self._said = 0

    def _turned(self, frames: bytes) -> bytes:
        made: list[bytes] = []
        self.failure = self._inner.failure
        try:
            for event in frames.split(b"\n\n"):
                if event:
                    made += self._event(payload(event))
        except UNREADABLE:
            self.failure = self.failure or unreadable("an event")
        self.started = self._inner.started
        self.finished = self._inner.finished
        return b"".join(made)

    def _event(self, text: bytes) -> list[bytes]:
        if text == b"[DONE]":
            return self._closing()
        event = orjson.loads(text)
        if event["choices"]:
            self._last = event
            self._said += sum(len((choice.get("text") or "").encode()) for choice in event["choices"])
        return [_frame(chunk) for chunk in chat.chunks(event, self._begun)]

    def _closing(self) -> list[bytes]:
        self.usage = self._inner.usage
        if self.usage is None:
            self.usage = Usage(self._prompt_tokens, tokens_of(self._said), estimated=True)
        if not self._wants_usage:
            return [DONE]
        return [_frame(chat.usage_chunk(self._last, document(self.usage))), DONE]


def _frame(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"
