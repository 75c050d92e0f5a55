"""What providers tell of their limits in the headers of a reply, successful or not."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from router.core.quota import Allowance, Allowances
from router.dialects.base import Headers
from router.dialects.recognise import LONGEST_RETRY_AFTER, retry_after

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_ANTHROPICS_TOKENS = (b"tokens", b"input-tokens", b"output-tokens")


def openai_allowances(headers: Headers) -> Allowances | None:
    """From `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, the resets being time spans; None without any."""
    requests = headers.get(b"x-ratelimit-remaining-requests")
    tokens = headers.get(b"x-ratelimit-remaining-tokens")
    if requests is None and tokens is None:
        return None
    return Allowances(_openais(headers, b"requests", requests), _openais(headers, b"tokens", tokens))


def anthropic_allowances(headers: Headers) -> Allowances | None:
    """From `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`.

    The resets are moments (RFC 3339), taken relative to the reply's own `date`. Of the three kinds of tokens the one of
    which the smallest share is left is told.
    """
    requests = _anthropics(headers, b"requests")
    tokens = [word for word in (_anthropics(headers, name) for name in _ANTHROPICS_TOKENS) if word is not None]
    if requests is None and not tokens:
        return None
    return Allowances(requests, min(tokens, key=_share, default=None))


def span(text: str) -> float | None:
    """Seconds in `1s`, `6m0s`, `1h2m3.5s`, `250ms` or a bare number of seconds; None for anything else.

    None, too, for more than a day: then it is no span, but a moment since 1970.
    """
    try:
        seconds = _span(text.strip())
    except ValueError:
        return None
    return seconds if 0.0 <= seconds <= LONGEST_RETRY_AFTER else None


def _span(text: str) -> float:
    if not text or text[-1].isdigit():
        return float(text)
    if text.endswith("s") and text[-2:-1].isdigit() and "m" not in text and "h" not in text:
        return float(text[:-1])
    seconds, number, unit = 0.0, "", ""
    for character in text + "0":  # the last unit ends where a number would begin
        if character.isdigit() or character == ".":
            if unit:
                seconds += float(number) * _unit(unit)
                number = unit = ""
            number += character
        else:
            unit += character
    return seconds


def _unit(name: str) -> float:
    if name not in _UNITS:
        raise ValueError(f"no unit of time: {name}")
    return _UNITS[name]


def _openais(headers: Headers, what: bytes, remaining: bytes | None) -> Allowance | None:
    left = _count(remaining)
    if left is None:
        return None
    reset = headers.get(b"x-ratelimit-reset-" + what)
    seconds = retry_after(headers) if reset is None else span(reset.decode("latin-1"))
    return Allowance(_count(headers.get(b"x-ratelimit-limit-" + what)) or None, left, seconds)


def _anthropics(headers: Headers, what: bytes) -> Allowance | None:
    name = b"anthropic-ratelimit-" + what
    left = _count(headers.get(name + b"-remaining"))
    if left is None:
        return None
    reset = headers.get(name + b"-reset")
    seconds = retry_after(headers) if reset is None else _until(reset, headers.get(b"date"))
    return Allowance(_count(headers.get(name + b"-limit")) or None, left, seconds)


def _count(value: bytes | None) -> int | None:
    """A number that is none, or below 0, tells nothing."""
    if value is None or len(value) > 18:
        return None
    try:
        number = int(value)
    except ValueError:
        return None
    return number if number >= 0 else None


def _until(moment: bytes, date: bytes | None) -> float | None:
    """Seconds from `date` (RFC 9110) to `moment` (RFC 3339); None where either is none, or they are a day apart."""
    if date is None:
        return None
    try:
        end = datetime.fromisoformat(moment.decode("latin-1").strip())
        began = parsedate_to_datetime(date.decode("latin-1"))
    except (ValueError, TypeError):
        return None
    if end.tzinfo is None:
        end = end.replace(tzinfo=UTC)
    if began.tzinfo is None:
        began = began.replace(tzinfo=UTC)
    seconds = (end - began).total_seconds()
    return max(seconds, 0.0) if seconds <= LONGEST_RETRY_AFTER else None


def _share(word: Allowance) -> float:
    return float(word.remaining) if word.limit is None else word.remaining / word.limit
