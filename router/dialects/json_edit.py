"""Changing a few members of a JSON object without touching the rest of its bytes.

The client's body has been parsed already, so it is known to be one valid JSON object; what is left to find is where a
member stands, and that no top-level name stands twice (what was checked must be what is sent).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],]', re.DOTALL)
"""Possessive throughout: with backtracking, a string of 20 MB takes seconds and gigabytes."""
_FEW = 32
"""Names up to which a search for each costs less than reading everything; without it, a body could cost minutes."""


READ_IN_FULL = 1024 * 1024
"""Bytes. Reading that much token by token takes some 100 ms at worst."""


class DuplicateKey(ValueError):
    """A top-level name that stands twice. `name` is it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def refuse_duplicates(raw: bytes, body: Mapping[str, Any]) -> bool:
    """Raise DuplicateKey where a top-level name of `raw` is repeated; `body` is `raw` parsed.

    Returns False where that was not settled: a doubtful text above `READ_IN_FULL` bytes would hold up everybody else.
    Such a request must travel as `body` has it.

    A name that occurs once as a quoted string anywhere in the text cannot be repeated, unless written with escapes;
    that settles nearly every request with one pass of a substring search a name. Only the doubtful ones are read in
    full.
    """
    if len(body) <= _FEW and not _has_escapes(raw):
        for name in body:
            if not name.isidentifier():
                break
            quoted = b'"' + name.encode() + b'"'
            if raw.count(quoted) > 1:
                break
        else:
            return True
    if len(raw) > READ_IN_FULL:
        return False
    names = top_level_names(raw)
    if len(names) != len(body):
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise DuplicateKey(name)
            seen.add(name)
    return True


def top_level_names(raw: bytes) -> list[str]:
    """The names of the object's own members, in order, repeated ones included."""
    names = []
    depth = 0
    expects_name = False
    for match in _TOKEN.finditer(raw):
        first = raw[match.start()]
        if first in b"{[":
            depth += 1
            expects_name = depth == 1
        elif first in b"}]":
            depth -= 1
        elif first == 0x2C:
            expects_name = depth == 1
        elif expects_name:
            names.append(orjson.loads(match.group()))
            expects_name = False
    return names


def replace_model(raw: bytes, body: Mapping[str, Any], model: bytes) -> bytes | None:
    """`raw` with `model` (JSON, quotes included) as its model, or None where its place is in doubt."""
    if raw.count(b'"model"') != 1 or _has_escapes(raw):
        return None
    at = raw.index(b'"model"')
    start = at + 7
    while raw[start] in b" \t\r\n:":
        start += 1
    old = orjson.dumps(body["model"])
    if not raw.startswith(old, start):
        return None
    return raw[:start] + model + raw[start + len(old) :]


def _has_escapes(raw: bytes) -> bool:
    """Whether a letter may be written as `\\uXXXX`. Looking for the backslash alone first is 20 times as fast."""
    return b"\\" in raw and b"\\u" in raw


def prepend(raw: bytes, member: bytes) -> bytes:
    """`raw` with `member` (`"name":value`) as its first member; `raw` has at least one of its own."""
    at = raw.index(b"{") + 1
    return raw[:at] + member + b"," + raw[at:]
