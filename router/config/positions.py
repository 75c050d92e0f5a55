"""Reads YAML into a `Document`.

Built from libyaml's events, without recursion and without the object graph of `yaml.compose`: several times faster, no
depth of nesting breaks the parser, and an alias costs nothing until its size has been checked. Anchors, aliases and
merge keys (`<<`) work; a key given twice, a key that is no string and any tag but the standard ones are faults.
Messages never quote the text: what libyaml trips over may be an unquoted secret.
"""

from __future__ import annotations

from typing import Any, NoReturn

import yaml

from router.config.document import Document, Fault, Node, Path, Place, place_of
from router.config.scalars import scalar

MAX_CHARACTERS = 16 * 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 1_000_000
"""Of the document with every alias written out."""

_YAML = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    _YAML + "null": (type(None),),
    _YAML + "bool": (bool,),
    _YAML + "int": (int,),
    _YAML + "float": (int, float),
}


def read(text: str) -> Document:
    """Never raises: what is wrong with `text` is in the document's `faults`, and then `root` may be None."""
    builder = _Builder()
    document = builder.document
    if len(text) > MAX_CHARACTERS:
        document.faults.append(Fault(Place(1, 1), (), f"the file is larger than {MAX_CHARACTERS >> 20} MiB"))
        return document
    try:
        for event in yaml.parse(text, yaml.CSafeLoader):
            builder.feed(event)
    except _Stop:
        document.root = None
    except yaml.reader.ReaderError as error:
        before = text.encode(errors="replace")[: error.position].decode(errors="replace")
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        document.faults.append(Fault(place, (), "a character that YAML does not allow"))
        document.root = None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(1, 1) if mark is None else place_of(mark)
        document.faults.append(Fault(place, (), f"no valid YAML: {error.problem or 'syntax error'}{_hint(text, mark)}"))
        document.root = None
    except (yaml.YAMLError, UnicodeError):
        document.faults.append(Fault(Place(1, 1), (), "no valid YAML"))
        document.root = None
    return document


def _hint(text: str, mark: Any) -> str:
    lines = text.split("\n")
    if mark is None or mark.line >= len(lines):
        return ""
    character = lines[mark.line][mark.column : mark.column + 1]
    if character == "\t":
        return " (a tab: indent with spaces)"
    return " (put it in quotes)" if character in ("@", "`", "%") else ""


class _Stop(Exception):
    """Reading on makes no sense. The fault has been noted."""


class _Frame:
    """A list or mapping being read. `key` is None while a mapping waits for its next one."""

    __slots__ = ("anchor", "key", "key_mark", "merged", "merging", "node", "skipping")

    def __init__(self, node: Node, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: str | None = None
        self.key_mark: Any = None
        self.merging = False  # the value to come is what `<<` names
        self.merged: list[Node] | None = None
        self.skipping = False  # the value to come belongs to a key that was refused


class _Builder:
    def __init__(self) -> None:
        self.document = Document()
        self._frames: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._documents = 0

    def feed(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open(event)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop(event.start_mark, "the file holds a second document (---); it may have one")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        frame = self._frames[-1] if self._frames else None
        value: Any = event.value
        plain = event.implicit[0]
        if frame is not None and self._wants_key(frame):
            if not plain or value == "<<":
                self._key(frame, value, event.start_mark, merge=plain)
            else:
                if not isinstance(scalar(value), str):
                    self._fault(event.start_mark, "a key must be a string: put it in quotes")
                self._key(frame, value, event.start_mark, merge=False)
            return
        if plain:
            value = scalar(value)
        elif event.tag is not None:
            value = self._tagged(event)
        node = Node(event.start_mark, value)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._add(node)

    def _tagged(self, event: yaml.ScalarEvent) -> Any:
        if event.tag in ("!", _YAML + "str"):
            return event.value
        value = scalar(event.value)
        if event.tag not in _TYPES:
            self._fault(event.start_mark, "tags (!…) are not supported; quote a value that starts with !")
        elif not isinstance(value, _TYPES[event.tag]):
            self._fault(event.start_mark, "the value does not fit its tag")
        return value

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if len(self._frames) >= MAX_DEPTH:
            self._stop(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
        if event.tag not in (None, "!", _YAML + "map", _YAML + "seq"):
            self._fault(event.start_mark, "tags (!…) are not supported")
        items: list[Node] | dict[str, Node] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._frames.append(_Frame(Node(event.start_mark, None, items), event.anchor))

    def _close(self, event: yaml.Event) -> None:
        frame = self._frames.pop()
        node = frame.node
        for source in frame.merged or ():
            self._merge(node, source)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = node
        if self._frames and self._wants_key(self._frames[-1]):
            self._fault(node.mark, "a key must be a string")
            self._frames[-1].skipping = True
        else:
            self._add(node)

    def _alias(self, event: yaml.AliasEvent) -> None:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            self._fault(event.start_mark, "an alias without its anchor before it; quote a value that starts with *")
            node = Node(event.start_mark)
        if self._frames and self._wants_key(self._frames[-1]):
            self._fault(event.start_mark, "a key must be a string")
            self._frames[-1].skipping = True
        else:
            self._add(node)

    def _wants_key(self, frame: _Frame) -> bool:
        return isinstance(frame.node.items, dict) and frame.key is None and not frame.skipping

    def _key(self, frame: _Frame, key: str, mark: Any, *, merge: bool) -> None:
        first = frame.node.keys.get(key)
        if (merge and frame.merged is not None) or first is not None:
            where = "" if first is None else f", first given in line {first.line + 1}"
            self._fault(mark, f"duplicate key{where}", key)
            frame.skipping = True
            return
        frame.key, frame.key_mark = key, mark
        frame.merging = merge

    def _add(self, node: Node) -> None:
        """`node` is complete: give it to what it stands in."""
        if not self._frames:
            self.document.root = node
            return
        frame = self._frames[-1]
        parent = frame.node
        parent.size += node.size
        if parent.size > MAX_NODES:
            self._stop(node.mark, f"more than {MAX_NODES} values, aliases written out")
        if isinstance(parent.items, list):
            parent.items.append(node)
        elif frame.skipping:
            frame.skipping = False
        elif frame.merging:
            frame.merged = node.items if isinstance(node.items, list) else [node]
            frame.key, frame.merging = None, False
        elif frame.key is not None and parent.items is not None:
            parent.items[frame.key] = node
            parent.keys[frame.key] = frame.key_mark
            frame.key = None

    def _merge(self, node: Node, source: Node) -> None:
        if not isinstance(source.items, dict) or not isinstance(node.items, dict):
            self._fault(source.mark, "<< merges mappings only")
            return
        for key, item in source.items.items():
            if key not in node.items:
                node.items[key] = item
                node.keys[key] = source.keys[key]

    def _path(self) -> Path:
        steps: list[str | int] = []
        for frame in self._frames:
            if isinstance(frame.node.items, list):
                steps.append(len(frame.node.items))
            elif frame.key is not None:
                steps.append(frame.key)
        return tuple(steps)

    def _fault(self, mark: Any, message: str, *more: str) -> None:
        self.document.faults.append(Fault(place_of(mark), (*self._path(), *more), message))

    def _stop(self, mark: Any, message: str) -> NoReturn:
        self._fault(mark, message)
        raise _Stop
