"""What a client asks of a deployment's tags."""

from __future__ import annotations

from collections.abc import Iterable

from router.core.types import Tags

HEADER = "X-Router-Tags"


def tags_of(listed: Iterable[str], header: str | None) -> Tags | None:
    """From a list and from the comma-separated words of a header, all of which count; `!tag` is one that must not be.

    None where nothing is asked for.
    """
    if not listed and not header:
        return None
    words = [word.strip() for word in (*listed, *(header or "").split(","))]
    unwanted = frozenset(word[1:].strip() for word in words if word.startswith("!"))
    return Tags(frozenset(word for word in words if word and not word.startswith("!")), unwanted - {""})
