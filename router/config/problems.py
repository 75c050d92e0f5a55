"""Collects what is wrong, each with the place to mend it, so that all of it is told at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping

from router.config.document import Document, Fault, Path, Place


class Problems:
    """One problem per setting: the first one found is told, what follows from it is not.

    `label` is the file's name as the user gave it. `variables` are the environment variables that have set something,
    by the path that they set: a problem there, or below, is told by the variable's name.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.document = Document()
        self.variables: Mapping[Path, str] = {}
        self._found: dict[Path, tuple[Place | str, str]] = {}
        self._faults: list[tuple[Place | str, str]] = []

    def __bool__(self) -> bool:
        return bool(self._found or self._faults)

    def __contains__(self, path: Path) -> bool:
        """Whether something is known to be wrong at `path`, around it or in it."""
        if any(path[:length] in self._found for length in range(len(path) + 1)):
            return True
        return any(known[: len(path)] == path for known in self._found)

    def add(self, path: Path, message: str, *, key: bool = False) -> None:
        """Something is wrong with the value at `path`, or, with `key`, with its being there."""
        if path not in self._found:
            where = self._variable(path) or self.document.place(path, key=key)
            self._found[path] = (where, f"{dotted(path)}: {message}" if path else message)

    def add_fault(self, fault: Fault) -> None:
        """Something is wrong with the file's text."""
        name = f"{dotted(fault.path)}: " if fault.path else ""
        self._faults.append((fault.place, name + fault.message))

    def add_variable(self, name: str, message: str) -> None:
        """Something is wrong with an environment variable, and no setting is known that it means."""
        self._faults.append((name, message))

    def lines(self) -> list[str]:
        """One line per problem: the file's in its order, then the environment's."""
        found = [*self._faults, *self._found.values()]
        placed = sorted((place, text) for place, text in found if isinstance(place, Place))
        named = sorted((name, text) for name, text in found if isinstance(name, str))
        return [f"{self.label}:{line}:{column}: {text}" for (line, column), text in placed] + [
            f"{name}: {text}" for name, text in named
        ]

    def shown(self, path: Path, value: str) -> str:
        """`value` as messages may quote it: not where it was filled in, since that may be a secret."""
        node = self.document.find(path)
        if self._variable(path) is not None or node is None or not isinstance(node.value, str) or "${" in node.value:
            return "(filled in, so not shown)"
        return repr(value)

    def _variable(self, path: Path) -> str | None:
        for length in range(len(path), 0, -1):
            if path[:length] in self.variables:
                return self.variables[path[:length]]
        return None


def dotted(path: Path) -> str:
    """`model_list.2.rpm`, on one line whatever the file's keys hold."""
    return ".".join(text if (text := str(step)).isprintable() else ascii(text) for step in path)


def did_you_mean(name: str, known: Collection[str]) -> str:
    """` (did you mean rpm?)`, or `; known are …` where nothing is like `name`."""
    close = difflib.get_close_matches(name, known, n=1) or _folded(name, known)
    if close:
        return f" (did you mean {close[0]}?)"
    return f"; known are {listed(known)}"


def listed(names: Iterable[str], most: int = 20) -> str:
    """`a, b, c`, cut where it gets long."""
    sorted_names = list(names)
    more = f" and {len(sorted_names) - most} more" if len(sorted_names) > most else ""
    return (", ".join(sorted_names[:most]) or "none") + more


def _folded(name: str, known: Collection[str]) -> list[str]:
    def fold(text: str) -> str:
        return "".join(filter(str.isalnum, text.lower()))

    return [other for other in known if fold(other) == fold(name)][:1]
