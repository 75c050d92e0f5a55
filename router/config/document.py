"""A YAML document whose every value knows where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

Path = tuple[str | int, ...]
"""The way to a value: `("model_list", 2, "rpm")`, written `model_list.2.rpm`."""


class Place(NamedTuple):
    """Counted from 1, as editors do."""

    line: int
    column: int


class Fault(NamedTuple):
    """Something wrong with the text itself, at `path` as far as that is known."""

    place: Place
    path: Path
    message: str


class Node:
    """One value: a scalar (`items` is None), a list or a mapping. `size` counts it and everything in it.

    `mark` and a mapping's `keys` hold libyaml's marks, turned into places only for those that are asked for.
    """

    __slots__ = ("items", "keys", "mark", "size", "value")

    def __init__(self, mark: Any, value: Any = None, items: list[Node] | dict[str, Node] | None = None) -> None:
        self.mark = mark
        self.value = value
        self.items = items
        self.keys: dict[str, Any] = {}
        self.size = 1


@dataclass(slots=True)
class Document:
    """`root` is None for an empty text, and for one that could not be read to its end."""

    root: Node | None = None
    faults: list[Fault] = field(default_factory=list)

    def find(self, path: Path) -> Node | None:
        node = self.root
        for step in path:
            items = node.items if node is not None else None
            if isinstance(items, dict) and isinstance(step, str):
                node = items.get(step)
            elif isinstance(items, list) and isinstance(step, int) and step < len(items):
                node = items[step]
            else:
                return None
        return node

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where the value at `path` stands, or its key; for what is not there, the closest thing around it."""
        while path and self.find(path) is None:
            path, key = path[:-1], False
        node = self.find(path)
        if key and path:
            parent = self.find(path[:-1])
            mark = parent.keys.get(str(path[-1])) if parent is not None else None
            if mark is not None:
                return place_of(mark)
        return Place(1, 1) if node is None else place_of(node.mark)


def place_of(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)
