"""Feeds a stream to its decoder, cut in every way, and says what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from router.core.errors import FailureKind
from router.core.types import Usage
from router.dialects.openai_stream import OpenAIStream


class Told(NamedTuple):
    """What a decoder said of one stream, all in all."""

    out: bytes
    started: bool
    finished: bool
    failure: FailureKind | None
    usage: Usage | None


def decode(pieces: Iterable[bytes], wants_usage: bool = False) -> Told:
    decoder = OpenAIStream(wants_usage)
    out = b"".join([decoder.feed(piece) for piece in pieces])
    out += decoder.end()
    failure = decoder.failure.kind if decoder.failure is not None else None
    return Told(out, decoder.started, decoder.finished, failure, decoder.usage)


def at(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted({place for place in places if 0 < place < len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and in two at every byte."""
    yield [data]
    yield [data[index : index + 1] for index in range(len(data))]
    for place in range(1, len(data)):
        yield [data[:place], data[place:]]


def chunk(choices: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up", "choices": choices} | more


def delta(content: str | None = None, finish: str | None = None, **more: Any) -> list[dict[str, Any]]:
    own = {} if content is None else {"content": content}
    return [{"index": 0, "delta": own | more, "finish_reason": finish}]


def event(document: Any) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"


DONE = b"data: [DONE]\n\n"
ROLE = event(chunk(delta("", role="assistant")))
HELLO = event(chunk(delta("Hello")))
WORLD = event(chunk(delta(" world")))
STOP = event(chunk(delta(finish="stop")))
USAGE = event(chunk([], usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}))
ERROR = event({"error": {"message": "it fell over", "type": "server_error", "param": None, "code": 500}})
COUNTED = Usage(3, 2)
