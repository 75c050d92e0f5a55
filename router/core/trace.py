"""A request's place in a distributed trace, by W3C Trace Context: what it was handed, and what it hands on.

https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from router.core.types import Deployment

_LONGEST_STATE = 512
_HEX = frozenset("0123456789abcdef")
CONTENT_LIMIT = 65_536
"""Bytes kept of a reply whose content is traced."""


class Parent(NamedTuple):
    """What a caller said of its own span. `state` is passed on as it came."""

    trace_id: int
    span_id: int
    sampled: bool
    state: str = ""


class AttemptSpan(NamedTuple):
    """One attempt; `began` and `ended` in clock seconds, `model` as upstream calls it, `api_base` its address,
    `outcome` as in `Attempted`."""

    span_id: int
    group: str
    deployment: str
    provider: str
    model: str
    api_base: str
    outcome: str
    began: float
    ended: float


class Trace:
    """One request's spans, gathered while it runs. `began` in clock seconds.

    `content` is True where prompts and replies are kept, too: `asked` is then the request's body, `answered` what was
    sent to the client, up to a limit.
    """

    __slots__ = ("_rng", "answered", "asked", "attempts", "began", "content", "parent", "sampled", "span_id",
                 "trace_id")  # fmt: skip

    def __init__(self, parent: Parent | None, sampled: bool, began: float, rng: Random, content: bool) -> None:
        """`sampled` is for a request whose caller has not decided that already."""
        self._rng = rng
        self.parent = parent
        self.trace_id = rng.getrandbits(128) or 1 if parent is None else parent.trace_id
        self.span_id = self.new_span()
        self.sampled = sampled if parent is None else parent.sampled
        self.began = began
        self.attempts: list[AttemptSpan] = []
        self.content = content and self.sampled
        self.asked = b""
        self.answered = b""

    def new_span(self) -> int:
        """An id for one attempt's span."""
        return self._rng.getrandbits(64) or 1

    def head(self, head: bytes, span_id: int) -> bytes:
        """A request head with the fields that carry this trace on to upstream; it ends in a blank line."""
        fields = f"traceparent: 00-{self.trace_id:032x}-{span_id:016x}-{'01' if self.sampled else '00'}\r\n"
        if self.parent is not None and self.parent.state:
            fields += f"tracestate: {self.parent.state}\r\n"
        return head[:-2] + fields.encode("latin-1") + b"\r\n"

    def attempted(
        self, group: str, deployment: Deployment, outcome: str, began: float, ended: float, span_id: int
    ) -> None:
        """An attempt has ended. `span_id` is 0 where nothing was sent."""
        self.attempts.append(
            AttemptSpan(
                span_id or self.new_span(), group, deployment.id, deployment.provider, deployment.model,
                deployment.api_base, outcome, began, ended,
            )
        )  # fmt: skip

    def keep(self, frames: bytes) -> None:
        """Keep what the client is sent, as far as there is room."""
        room = CONTENT_LIMIT - len(self.answered)
        if room > 0:
            self.answered += frames[:room]


def parent_of(headers: Mapping[str, str]) -> Parent | None:
    """What the caller's `traceparent` says; None without one, or where it is not well-formed."""
    given = headers.get("traceparent")
    if given is None:
        return None
    parts = given.strip().split("-")
    if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2] or not _HEX.issuperset("".join(parts[:4])):
        return None
    version, trace_id, span_id, flags = parts[:4]
    if version == "ff" or (version == "00" and len(parts) > 4) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    state = headers.get("tracestate", "").strip()
    if len(state) > _LONGEST_STATE or not (state.isascii() and state.isprintable()):
        state = ""
    return Parent(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & 1), state)
