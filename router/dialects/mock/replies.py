"""From a request to the mock provider's answer: what is sent, when, and how it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import orjson

from router.core.types import Kind
from router.dialects.mock.behaviour import Behaviour
from router.dialects.mock.chat import ChatShape, chat
from router.dialects.mock.completions import Completion, Frames, Shape, whole
from router.dialects.mock.embedding import embeddings
from router.dialects.mock.errors import ErrorBody, error_answer, is_error, json_answer, rate_limit_headers, rejection
from router.dialects.mock.legacy import LegacyShape, legacy
from router.dialects.mock.playback import Answer, Ending, Send

_KINDS: dict[str, Kind] = {"/chat/completions": "chat", "/completions": "completion", "/embeddings": "embedding"}
_REQUIRED: dict[Kind, tuple[str, ...]] = {
    "chat": ("model", "messages"),
    "completion": ("model",),
    "embedding": ("model", "input"),
}
_STREAM_HEADERS = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
_GARBAGE = b"\x16\x03\x01 this is no HTTP\r\n\r\n"
_IN_BAND = ErrorBody("The server had an error while processing your request. Sorry about that!", "server_error")
_CHAT, _LEGACY = ChatShape(), LegacyShape()


def kind_of(path: str) -> Kind | None:
    """What a path (with or without `/v1`, and without its query) asks for, None where it is no inference."""
    return _KINDS.get(path.removeprefix("/v1"))


def answer(kind: Kind, raw: bytes, behaviour: Behaviour, step: str, rng: Random, created: int) -> Answer:
    """The answer to one inference request. `created` is in seconds since 1970; `rng` makes the ids."""
    body = _parsed(kind, raw)
    if isinstance(body, Answer):
        return body
    if step == "hang":
        return Answer(0, (), None, (), Ending.HANG)
    if step == "reset":
        return Answer(0, (), None, (), Ending.RESET)
    if step == "garbage":
        return Answer(0, (), None, (Send(0.0, _GARBAGE),), Ending.CLOSE)
    if is_error(step):
        return error_answer(step, str(body["model"]), behaviour)
    headers = [("x-request-id", f"req_{rng.getrandbits(128):032x}")]
    try:
        if kind == "embedding":
            data, tokens = embeddings(body, empty=step == "empty")
            return _whole(data, tokens, behaviour.time_to_first_token, headers, behaviour, step)
        make, shape = (chat, _CHAT) if kind == "chat" else (legacy, _LEGACY)
        return _completion(
            make(body, behaviour, rng, created, empty=step == "empty"), shape, body, headers, behaviour, step
        )
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        return rejection(400, f"Invalid request: {error}")


def models_answer(models: Iterable[str], created: int) -> Answer:
    """`GET /v1/models`."""
    data = [{"id": name, "object": "model", "created": created, "owned_by": "mock"} for name in models]
    return json_answer(200, orjson.dumps({"object": "list", "data": data}))


def _parsed(kind: Kind, raw: bytes) -> dict[str, Any] | Answer:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        return rejection(
            400, "We could not parse the JSON body of your request. The OpenAI API expects a JSON payload."
        )
    for name in _REQUIRED[kind]:
        if not body.get(name):
            return rejection(
                400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
            )
    return body


def _completion(
    reply: Completion,
    shape: Shape,
    body: Mapping[str, Any],
    headers: list[tuple[str, str]],
    behaviour: Behaviour,
    step: str,
) -> Answer:
    gap = 1 / behaviour.tokens_per_second if behaviour.tokens_per_second else 0.0
    tokens = reply.prompt_tokens + reply.completion_tokens
    if not body.get("stream"):
        longest = max((len(choice.pieces) for choice in reply.choices), default=0)
        after = behaviour.time_to_first_token + gap * max(longest - 1, 0)
        return _whole(whole(reply, shape), tokens, after, headers, behaviour, step)
    options = body.get("stream_options")
    frames = Frames(reply, shape, isinstance(options, dict) and bool(options.get("include_usage")))
    if behaviour.rate_limit_headers:
        headers += rate_limit_headers(tokens)
    sends, ending = _timeline(frames, behaviour.time_to_first_token, gap, step)
    return Answer(200, (*_STREAM_HEADERS, *headers), None, sends, ending)


def _timeline(frames: Frames, first: float, gap: float, step: str) -> tuple[list[Send], Ending]:
    if step == "error":
        return [Send(first, b"data: %b\n\n" % _IN_BAND.json())], Ending.DONE
    sends = [Send(0.0, frames.opening)] if frames.opening else []
    content = frames.content
    partial = step in ("truncate", "stall", "late-error")
    if partial:
        content = content[: max(len(content) // 2, 1)]
    sends += [Send(gap if i else first, piece) for i, piece in enumerate(content)]
    last = 0.0 if content else first
    if not partial:
        return [*sends, Send(last, frames.closing)], Ending.DONE
    if step == "late-error":
        return [*sends, Send(gap, b"data: %b\n\n" % _IN_BAND.json())], Ending.DONE
    return sends, Ending.CLOSE if step == "truncate" else Ending.HANG


def _whole(
    data: bytes, tokens: int, after: float, headers: list[tuple[str, str]], behaviour: Behaviour, step: str
) -> Answer:
    if step in ("error", "late-error"):
        return json_answer(200, _IN_BAND.json(), headers, after)
    if behaviour.rate_limit_headers:
        headers = headers + rate_limit_headers(tokens)
    full = json_answer(200, data, headers, after)
    if step in ("truncate", "stall"):
        half = (Send(after, data[: len(data) // 2]),)
        return full._replace(sends=half, ending=Ending.CLOSE if step == "truncate" else Ending.HANG)
    return full
