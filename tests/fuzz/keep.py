"""Keeps of what the fuzzer found what goes a way through the code that no kept input goes: `keep CORPUS FOUND...`.

Smallest first, as far as there is room. libFuzzer's own `-merge` starts itself anew, which it cannot do under Python.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.target import run

MOST = 300
Step = tuple[str, int, int, int]
"""File, line before, line, and how often, in powers of two."""


def way(data: bytes) -> set[Step]:
    """Every step from line to line within the upstream client."""
    steps: dict[tuple[str, int, int], int] = {}

    def enter(frame: FrameType, event: str, argument: object) -> Any:
        name = frame.f_code.co_filename
        if "router/upstream/" not in name:
            return None
        last = 0

        def line(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal last
            step = (name, last, frame.f_lineno)
            steps[step] = steps.get(step, 0) + 1
            last = frame.f_lineno
            return line

        return line

    sys.settrace(enter)
    try:
        run(data)
    finally:
        sys.settrace(None)
    return {(*step, count.bit_length()) for step, count in steps.items()}


def worth_keeping(inputs: Iterable[bytes]) -> Iterable[bytes]:
    seen: set[Step] = set()
    for data in sorted(set(inputs), key=lambda data: (len(data), data))[: MOST * 100]:
        steps = way(data)
        if not steps <= seen:
            seen |= steps
            yield data


def main() -> None:
    corpus = Path(sys.argv[1])
    old = [path for folder in sys.argv[1:] for path in Path(folder).iterdir()]
    kept = list(worth_keeping([path.read_bytes() for path in old]))[:MOST]
    for path in corpus.iterdir():
        path.unlink()
    for data in kept:
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()
