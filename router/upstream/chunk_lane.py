"""Whole chunks, known without a parser: a stream's events mostly come in one each."""

from __future__ import annotations

from typing import Final

_REMEMBERED: Final = 4096
_MOST_DIGITS: Final = 5

_size_lines: Final[dict[int, bytes]] = {}
"""By the length of the whole chunk, in bytes, up to `_REMEMBERED`."""


def content_of_chunk(data: bytes) -> int:
    """Where the content begins, where `data` is one whole chunk, its size in lower case and nothing else; otherwise 0.

    The content ends two bytes before the end.
    """
    total = len(data)
    line = _size_lines.get(total)
    if line is None:
        line = _size_line(total)
        if total <= _REMEMBERED:
            _size_lines[total] = line
    return len(line) if line != b"" and data.startswith(line) and data.endswith(b"\r\n") else 0


def _size_line(total: int) -> bytes:
    """With which a chunk of `total` bytes in all begins: one number of digits fits at most. Empty: none does."""
    for digits in range(1, _MOST_DIGITS + 1):
        line = b"%x\r\n" % max(total - digits - 4, 0)
        if len(line) == digits + 2 and line[0] != 0x30:
            return line
    return b""
