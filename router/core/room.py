"""Whether a prompt fits a context window: surely, surely not, or so it seems.

No tokenizer makes more tokens than there are bytes, so most prompts pass on their length alone. An exact count, where
one was made by the vocabulary of the deployment's model, settles the others. Without one, a prompt estimated at half as
much again as the window is moved to a larger one, and any other is left to upstream's judgement: a prompt is moved on
an estimate, and refused only on an exact count or on upstream's word.
"""

from __future__ import annotations

from enum import Enum

from router.core.types import Deployment, ModelGroup, RouteRequest

DOUBT = 1.5
"""An estimated prompt of this many windows is moved."""


class Room(Enum):
    FITS = "fits"
    MAY_FIT = "may fit"
    SEEMS_TOO_LARGE = "seems too large"
    TOO_LARGE = "too large"

    @property
    def fits(self) -> bool:
        """It is to be tried there."""
        return self is Room.FITS or self is Room.MAY_FIT


def room(request: RouteRequest, deployment: Deployment, prompt_tokens: int) -> Room:
    """Of `deployment` for `request`, whose prompt is estimated at `prompt_tokens`."""
    window = deployment.context_window
    if window is None or (request.size is not None and request.size <= window):
        return Room.FITS
    counted = None if request.counts is None else request.counts.get(deployment.encoding)
    if counted is not None:
        return Room.FITS if counted + (request.max_output or 0) <= window else Room.TOO_LARGE
    return Room.SEEMS_TOO_LARGE if prompt_tokens >= DOUBT * window else Room.MAY_FIT


def by_room(groups: list[ModelGroup], tokens: int) -> list[ModelGroup]:
    """The smallest window with room for `tokens` first; then those of unknown size; last the too small ones, the
    largest first."""

    def place(group: ModelGroup) -> tuple[int, int]:
        if group.window is None:
            return 1, 0
        return (0, group.window) if tokens <= group.window else (2, -group.window)

    return sorted(groups, key=place)
