"""The one event stream, and who listens to what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

from router.core.events import Event

E = TypeVar("E", bound=Event)


class EventBus:
    """An observer that passes each event on to those who listen for its type, in their order."""

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        self._listeners: dict[type[Any], list[Callable[[Any], None]]] = {kind: [] for kind in get_args(Event)}

    def on(self, kind: type[E], listener: Callable[[E], None]) -> None:
        """Tell `listener` of every event of this kind. It must not raise, and must not wait."""
        self._listeners[kind].append(listener)

    def __call__(self, event: Event) -> None:
        for listener in self._listeners[type(event)]:
            listener(event)
