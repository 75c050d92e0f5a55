"""Holds the data against the schema, and notes everything that does not fit.

What does not fit is left out, what must be there gets a stand-in, and the rest is held against the schema again:
however much is wrong there are settings to check further, and all problems are told at once. Since they are told,
settings with a stand-in are never used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from router.config.document import Path
from router.config.problems import Problems
from router.config.schema import Settings
from router.config.wording import message_of, path_of

STAND_IN = "?{}"
"""The name of the list entry of that position, where the file gives it none."""
_STAND_INS: Mapping[Path, Mapping[str, str]] = MappingProxyType(
    {
        ("model_list",): {"model_name": STAND_IN, "provider": "mock"},
        ("auth", "keys"): {"name": STAND_IN, "key": STAND_IN},
    }
)


def validate(data: dict[str, Any], problems: Problems) -> Settings:
    """`data` as far as it fits."""
    while True:
        found: ValidationError
        try:
            return Settings.model_validate(data)
        except ValidationError as error:
            found = error
        unfit: set[Path] = set()
        for detail in found.errors(include_url=False):
            path = path_of(detail)
            problems.add(path, message_of(detail), key=detail["type"] == "extra_forbidden")
            unfit.add(_cut(path, missing=detail["type"] == "missing"))
        mended = _mended(data, frozenset(unfit), _around(unfit), ())
        data = mended if mended != data else {}


def _cut(path: Path, *, missing: bool) -> Path:
    """What to leave out for an error at `path`: one setting of a deployment or key, or a list of scalars as a whole."""
    entry = next((len(known) + 1 for known in _STAND_INS if path[: len(known)] == known), 0)
    if missing and len(path) != entry + 1:
        path = path[:-1]
    number = next((i for i in range(entry, len(path)) if isinstance(path[i], int)), len(path))
    return path[:number]


def _around(paths: Iterable[Path]) -> frozenset[Path]:
    return frozenset(path[:length] for path in paths for length in range(len(path)))


def _mended(value: Any, unfit: frozenset[Path], around: frozenset[Path], path: Path) -> Any:
    """`value`, which stands at `path`, without what is at the paths of `unfit`; `around` are the paths above those."""
    if isinstance(value, list) and path in _STAND_INS:
        return [_entry(item, unfit, around, (*path, index)) for index, item in enumerate(value)]
    if path not in around or not isinstance(value, dict):
        return value
    return {key: _mended(item, unfit, around, (*path, key)) for key, item in value.items() if (*path, key) not in unfit}


def _entry(value: Any, unfit: frozenset[Path], around: frozenset[Path], path: Path) -> dict[str, Any]:
    stand_ins = {name: text.format(path[-1]) for name, text in _STAND_INS[path[:-1]].items()}
    kept = _mended(value, unfit, around, path) if isinstance(value, dict) else {}
    return {**stand_ins, **kept}
