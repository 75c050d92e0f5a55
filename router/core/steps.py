"""What a request can do next."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from router.core.errors import RouterError
from router.core.load import Candidate
from router.core.retry_budget import Draw
from router.core.types import ModelGroup


class Try:
    """Send to this candidate now. `counts` is whether a failure may count against its breaker, `draw` what the attempt
    is to the group's retry budget."""

    __slots__ = ("candidate", "counts", "draw", "group")

    def __init__(self, group: ModelGroup, candidate: Candidate, counts: bool, draw: Draw) -> None:
        self.group = group
        self.candidate = candidate
        self.counts = counts
        self.draw = draw


class Wait(NamedTuple):
    """Do nothing for that long, then ask again."""

    seconds: float


class Stop(NamedTuple):
    """Nothing is left to do: this is the answer.

    `full`: the group's candidates that would serve the request but for a limit or a 429, where nothing has been sent.
    """

    error: RouterError
    full: Sequence[Candidate] = ()


Step = Try | Wait | Stop


class FallbackKind(StrEnum):
    """Why another group took over. Doubles as the bounded metric label `kind`."""

    GENERAL = "general"
    CONTEXT_WINDOW = "context_window"
    CONTENT_POLICY = "content_policy"
