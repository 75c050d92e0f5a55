"""`${NAME}`, `${NAME:-default}` and `${file:/path}` in any string; `$${` stands for a literal `${`.

The default also replaces a variable that is set but empty, as in a shell. A file's one trailing newline is dropped.
What was filled in is not expanded again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from router.config.document import Node, Path
from router.config.scalars import Given
from router.config.sources import Sources

MAX_FILE_BYTES = 1024 * 1024

MISSING: Final = object()
"""In place of a string that could not be expanded; its problem has been reported."""

_REFERENCE = re.compile(r"\$(\$\{|\{([^{}]*)(\}?))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

Report = Callable[[Path, str], None]


class Expander:
    """Expands strings from `env`, and from files named absolutely or from `folder`, which `sources` reads."""

    def __init__(
        self, env: Mapping[str, str], folder: FilePath, report: Report, sources: Sources | None = None
    ) -> None:
        self._sources = sources or Sources()
        self._env = env
        self._folder = folder
        self._report = report
        self._contents: dict[FilePath, str | None] = {}

    def plain(self, node: Node | None, path: Path = ()) -> Any:
        """`node` as dicts, lists and scalars. What could not be expanded is left out, and reported."""
        if node is None:
            return None
        if isinstance(node.items, dict):
            pairs = ((key, self.plain(item, (*path, key))) for key, item in node.items.items())
            return {key: value for key, value in pairs if value is not MISSING}
        if isinstance(node.items, list):
            return [self.plain(item, (*path, index)) for index, item in enumerate(node.items)]
        return self.text(node.value, path) if isinstance(node.value, str) else node.value

    def values(self, value: Any, path: Path = ()) -> Any:
        """The same for what did not come from the file: all of its strings count as given from outside."""
        if isinstance(value, dict):
            pairs = ((key, self.values(item, (*path, key))) for key, item in value.items())
            return {key: item for key, item in pairs if item is not MISSING}
        if isinstance(value, list):
            return [self.values(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, str):
            text = self.text(value, path)
            return text if text is MISSING else Given(text)
        return value

    def text(self, text: str, path: Path) -> Any:
        """`text` expanded: a `Given` where anything was filled in, `MISSING` where something could not be."""
        if "${" not in text:
            return text
        parts: list[str] = []
        end = 0
        complete, given = True, False
        for reference in _REFERENCE.finditer(text):
            parts.append(text[end : reference.start()])
            end = reference.end()
            if reference[1] == "${":
                parts.append("${")
                continue
            given = True
            value = self._value(reference[2], path, closed=bool(reference[3]))
            complete = complete and value is not None
            parts.append(value or "")
        if not complete:
            return MISSING
        expanded = "".join((*parts, text[end:]))
        return Given(expanded) if given else expanded

    def _value(self, reference: str, path: Path, *, closed: bool) -> str | None:
        if not closed:
            self._report(path, "${ without its }, or with another { inside; write $${ for a literal ${")
            return None
        if reference.startswith("file:"):
            return self._file(reference.removeprefix("file:"), path)
        name, marked, default = reference.partition(":-")
        if not _NAME.fullmatch(name):
            self._report(path, "${…} holds a variable's name, NAME:-default or file:/path; write $${ for a literal ${")
            return None
        value = self._env.get(name)
        if value is None and not marked:
            self._report(path, f"the environment variable {name} is not set; ${{{name}:-…}} would give a default")
        return (value or default) if marked else value

    def _file(self, name: str, path: Path) -> str | None:
        if not name.isprintable() or not name:
            self._report(path, "${file:} names no file")
            return None
        file = self._folder / name
        if file not in self._contents:
            self._contents[file] = None
            try:
                content = self._sources.read(file, MAX_FILE_BYTES + 1)
                if len(content) > MAX_FILE_BYTES:
                    self._report(path, f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB")
                else:
                    self._contents[file] = content.decode().removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError:
                self._report(path, f"{name} is not UTF-8 text")
            except OSError as error:
                self._report(path, f"cannot read {name}: {error.strerror or 'no such file'}")
        elif self._contents[file] is None:
            self._report(path, f"cannot read {name}")
        return self._contents[file]
