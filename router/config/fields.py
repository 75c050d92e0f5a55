"""The types that settings are made of: what a value must look like, whatever the setting means.

Numbers and booleans are strict (`true` is no number, `"4000"` in the file is none either), except that text which came
from the environment or a secret's file is read as what it looks like.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from router.config.scalars import Given, number_of, truth_of

NAME_PATTERN = r"^[!-~]([ -~]{0,254}[!-~])?$"
"""Printable ASCII, since names travel in response headers; no space at either end; at most 256 characters."""


class Section(BaseModel):
    """A mapping in the file. Unknown keys are errors, values are frozen, and no error ever quotes its input."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


def without_nulls(value: Any) -> Any:
    """A section left empty, as when all in it is commented out, is one left out."""
    if isinstance(value, dict) and None in value.values():
        return {key: item for key, item in value.items() if item is not None}
    return value


def _number(value: Any) -> Any:
    if isinstance(value, Given):
        number = number_of(value.strip())
        return value if number is None else number
    return value


def _truth(value: Any) -> Any:
    if isinstance(value, str):  # `on` and `yes` too are text to YAML 1.2
        truth = truth_of(value.strip())
        return value if truth is None else truth
    return value


def _none_if_blank(value: Any) -> Any:
    return None if isinstance(value, Given) and not value.strip() else value


def _day(value: Any) -> date:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("expected a date such as 2027-06-30")


def _period(value: Any) -> Any:
    """Seconds out of `30d`."""
    if isinstance(value, str) and value[-1:] in _UNITS and value[:-1].isascii() and value[:-1].isdecimal():
        return float(int(value[:-1]) * _UNITS[value[-1]])
    raise ValueError("expected a length of time such as 1h, 1d, 7d or 30d")


def _secret(value: SecretStr) -> SecretStr:
    check_header_text(value.get_secret_value())
    return value


def _filled_secret(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        raise ValueError("is empty")
    return _secret(value)


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def check_header_text(text: str) -> None:
    """Raises ValueError, without quoting it, for what cannot travel in an HTTP header."""
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text):
        raise ValueError("holds a line break or another control character")
    if any(ord(character) > 255 for character in text):
        raise ValueError("holds a character that HTTP headers cannot carry (only Latin-1 can)")
    if text != text.strip(" "):
        raise ValueError("begins or ends with a space")


_Number = BeforeValidator(_number)
OrNone = BeforeValidator(_none_if_blank)
"""For a setting that may be null: a variable that is empty leaves it out."""

Count = Annotated[int, Field(strict=True, ge=0, le=2**53), _Number]
Positive = Annotated[int, Field(strict=True, ge=1, le=2**53), _Number]
Tier = Annotated[int, Field(strict=True, ge=-(2**31), le=2**31), _Number]
Port = Annotated[int, Field(strict=True, ge=0, le=65535), _Number]
Workers = Annotated[int, Field(strict=True, ge=1, le=1024), _Number]
Seconds = Annotated[float, Field(strict=True, gt=0, le=1e9), _Number]
SecondsOrZero = Annotated[float, Field(strict=True, ge=0, le=1e9), _Number]
Amount = Annotated[float, Field(strict=True, ge=0, le=1e15), _Number]
Share = Annotated[float, Field(strict=True, ge=0, le=1), _Number]
Weight = Annotated[float, Field(strict=True, gt=0, le=1e6), _Number]
Switch = Annotated[bool, Field(strict=True), BeforeValidator(_truth)]
Text = Annotated[str, Field(strict=True)]
FilledText = Annotated[str, Field(strict=True, min_length=1)]
Name = Annotated[str, Field(strict=True, pattern=NAME_PATTERN)]
Period = Annotated[float, Field(ge=60, le=1e9), BeforeValidator(_period, json_schema_input_type=str)]
"""Seconds, written as a number with a unit."""
Day = Annotated[date, BeforeValidator(_day)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
"""May be empty; fit for a header."""
FilledSecret = Annotated[SecretStr, AfterValidator(_filled_secret)]
