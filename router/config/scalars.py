"""What a piece of text stands for: YAML 1.2's scalars, and text that came from outside the file.

`true`, `false`, `null` and numbers are what they look like (`1e-6` is a number, `1_000` too, `010` is not); `yes`,
`on`, `1:30` and dates are strings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?", re.ASCII)
_HAS_DIGIT = re.compile(r"[-+]?\.?[0-9]", re.ASCII)
_NAMED: Mapping[str, bool | None] = MappingProxyType(
    {
        **dict.fromkeys(("", "~", "null", "Null", "NULL")),
        **dict.fromkeys(("true", "True", "TRUE"), True),
        **dict.fromkeys(("false", "False", "FALSE"), False),
    }
)
_LONGEST_NUMBER = 40


class Given(str):
    """Text from the environment or a secret's file. It has no type of its own, so a number may be read from it."""

    __slots__ = ()


def scalar(text: str) -> Any:
    """The None, bool, int, float or str that unquoted `text` stands for."""
    if text in _NAMED:
        return _NAMED[text]
    if text[0] in "-+.0123456789":
        number = number_of(text)
        if number is not None:
            return number
    return text


def number_of(text: str) -> int | float | None:
    """The number that `text` is, or None."""
    if len(text) > _LONGEST_NUMBER:
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and _HAS_DIGIT.match(text):
        return float(text)
    return None


def truth_of(text: str) -> bool | None:
    """The yes or no that `text` is, or None."""
    lowered = text.lower()
    if lowered in ("true", "yes", "on", "1"):
        return True
    if lowered in ("false", "no", "off", "0"):
        return False
    return None
