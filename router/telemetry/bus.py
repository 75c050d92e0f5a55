"""The one event stream, and who listens to what."""

from __future__ import annotations

from typing import get_args

from router.core.events import Event, Observer


class EventBus:
    """An observer that passes each event on to those who subscribed to its type, in their order."""

    __slots__ = ("_observers",)

    def __init__(self) -> None:
        self._observers: dict[type[Event], list[Observer]] = {kind: [] for kind in get_args(Event)}

    def subscribe(self, observer: Observer, *kinds: type[Event]) -> None:
        """Tell `observer` of events of these kinds; of all where none is named."""
        for kind in kinds or self._observers:
            self._observers[kind].append(observer)

    def __call__(self, event: Event) -> None:
        for observer in self._observers[type(event)]:
            observer(event)
