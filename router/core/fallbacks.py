"""From one model group to the next: which of the lists that failures have opened is followed, and how far."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from router.core.catalogue import Catalogue
from router.core.load import Snapshot
from router.core.retry import Action
from router.core.room import by_room
from router.core.types import ModelGroup, RouteRequest


def next_group(
    request: RouteRequest,
    first: ModelGroup,
    catalogue: Catalogue,
    view: Snapshot,
    opened: Collection[Action],
    visited: Collection[str],
    needed: int,
) -> ModelGroup | None:
    """The next group, not yet visited, of the lists of `first` that `opened` verdicts open; None without any. Among
    those for prompts that are too long, the one with the smallest window that has room goes first; `needed` are tokens
    that some window is known not to have had."""
    if Action.CONTEXT_WINDOW_FALLBACK in opened:
        own = request.context_window_fallbacks
        groups = _unvisited(first.policy.context_window_fallbacks if own is None else own, catalogue, visited)
        if groups:
            return groups[0] if len(groups) == 1 else by_room(groups, max(_tokens(request, first, view), needed))[0]
    return next(iter(_unvisited(_names(request, first, opened), catalogue, visited)), None)


def _unvisited(names: Sequence[str], catalogue: Catalogue, visited: Collection[str]) -> list[ModelGroup]:
    groups = [group for name in names if (group := catalogue.resolve(name)) is not None]
    return [group for group in groups if group.name not in visited]


def _tokens(request: RouteRequest, first: ModelGroup, view: Snapshot) -> int:
    """What a window must have room for, as counted or estimated."""
    prompt = max((request.counts or {}).values(), default=view.prompt_tokens(request, first.name))
    return prompt + (request.max_output or 0)


def _names(request: RouteRequest, first: ModelGroup, opened: Collection[Action]) -> tuple[str, ...]:
    """The general list, and before it that for refused prompts where a verdict has opened it."""
    names = first.policy.fallbacks if request.fallbacks is None else request.fallbacks
    if Action.CONTENT_POLICY_FALLBACK in opened:
        names = (*first.policy.content_policy_fallbacks, *names)
    return names
