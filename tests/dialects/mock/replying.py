"""Asks the mock provider without any I/O."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson

from router.core.types import Kind
from router.dialects.mock.behaviour import Behaviour
from router.dialects.mock.playback import Answer
from router.dialects.mock.replies import answer

HI: list[dict[str, Any]] = [{"role": "user", "content": "say hi"}]
CREATED = 1_700_000_000


def ask(kind: Kind, body: object, behaviour: Behaviour | None = None, step: str = "ok") -> Answer:
    return answer(kind, orjson.dumps(body), behaviour or Behaviour(), step, Random(1), CREATED)


def chat(behaviour: Behaviour | None = None, step: str = "ok", **body: Any) -> Answer:
    return ask("chat", {"model": "gpt-4o", "messages": HI} | body, behaviour, step)


def body_of(answer: Answer) -> Any:
    return orjson.loads(b"".join(send.data for send in answer.sends))


def events_of(answer: Answer) -> list[Any]:
    """The data of every frame; frames must be exactly `data: …` and a blank line."""
    text = b"".join(send.data for send in answer.sends)
    assert text.endswith(b"\n\n")
    frames = text[:-2].split(b"\n\n")
    assert all(frame.startswith(b"data: ") and b"\n" not in frame for frame in frames)
    return [frame[6:].decode() if frame == b"data: [DONE]" else orjson.loads(frame[6:]) for frame in frames]


def moments_of(answer: Answer) -> list[float]:
    """When each piece is sent, in seconds after the request."""
    moments: list[float] = []
    for send in answer.sends:
        moments.append(round((moments[-1] if moments else 0.0) + send.after, 9))
    return moments
