"""What chat and legacy completions share: the choices of one reply, whole or as a stream's frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice: its tokens, why it ends, and, for a tool call, id and name (the tokens are then the arguments)."""

    pieces: list[str]
    finish: str
    tool: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """One reply's facts, before they are given a shape."""

    id: str
    created: int
    model: str
    choices: list[Choice]
    prompt_tokens: int

    @property
    def completion_tokens(self) -> int:
        """Of all choices together."""
        return sum(len(choice.pieces) for choice in self.choices)

    @property
    def usage(self) -> dict[str, int]:
        """As OpenAI reports it."""
        made = self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": made,
            "total_tokens": self.prompt_tokens + made,
        }


class Shape(Protocol):
    """The wire shape of one endpoint's replies."""

    whole_object: str
    chunk_object: str

    def choice(self, index: int, choice: Choice) -> dict[str, Any]:
        """One entry of `choices` in a whole reply."""

    def opening(self, choice: Choice) -> bytes | None:
        """The first chunk's choice members, before any content."""

    def content(self, choice: Choice, piece: str) -> bytes:
        """The choice members of a content chunk."""

    def closing(self, choice: Choice) -> bytes:
        """The choice members of the chunk with the finish reason."""


class Frames:
    """A stream's frames: `opening` at once, `content` one token of every choice at a time, then `closing`."""

    __slots__ = ("closing", "content", "opening")

    def __init__(self, reply: Completion, shape: Shape, wants_usage: bool) -> None:
        model = orjson.dumps(reply.model)
        head = b'data: {"id":"%b","object":"%b","created":%d,"model":%b,"system_fingerprint":null,"choices":[' % (
            reply.id.encode(),
            shape.chunk_object.encode(),
            reply.created,
            model,
        )
        tail = b'],"usage":null}\n\n' if wants_usage else b"]}\n\n"

        def frame(index: int, members: bytes) -> bytes:
            return b'%b{"index":%d,%b}%b' % (head, index, members, tail)

        choices = list(enumerate(reply.choices))
        openings = ((i, shape.opening(choice)) for i, choice in choices)
        self.opening = b"".join(frame(i, members) for i, members in openings if members)
        self.content = _interleaved(choices, lambda i, choice, piece: frame(i, shape.content(choice, piece)))
        self.closing = b"".join(frame(i, shape.closing(choice)) for i, choice in choices)
        if wants_usage:
            self.closing += b'%b],"usage":%b}\n\n' % (head, orjson.dumps(reply.usage))
        self.closing += DONE


def _interleaved(choices: list[tuple[int, Choice]], frame: Callable[[int, Choice, str], bytes]) -> list[bytes]:
    if len(choices) == 1:
        index, choice = choices[0]
        return [frame(index, choice, piece) for piece in choice.pieces]
    longest = max((len(choice.pieces) for _, choice in choices), default=0)
    return [
        b"".join(frame(i, choice, choice.pieces[at]) for i, choice in choices if at < len(choice.pieces))
        for at in range(longest)
    ]


def whole(reply: Completion, shape: Shape) -> bytes:
    """The reply in one JSON body."""
    return orjson.dumps(
        {
            "id": reply.id,
            "object": shape.whole_object,
            "created": reply.created,
            "model": reply.model,
            "choices": [shape.choice(i, choice) for i, choice in enumerate(reply.choices)],
            "usage": reply.usage,
            "system_fingerprint": None,
        }
    )


def token_limit(body: Mapping[str, Any]) -> int | None:
    """The smaller of `max_tokens` and `max_completion_tokens`, where given."""
    limits = (body.get("max_tokens"), body.get("max_completion_tokens"))
    return min((limit for limit in limits if isinstance(limit, int) and limit >= 0), default=None)


def choice_count(body: Mapping[str, Any]) -> int:
    """`n`, between 1 and OpenAI's 128."""
    n = body.get("n")
    return min(max(n, 1), 128) if isinstance(n, int) else 1
