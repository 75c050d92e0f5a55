"""The first inputs: every transcript and every attack of the tests, with a few ways to cut and end them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.upstream.test_attacks import ATTACKS, PAST_LIMITS, WITHIN_LIMITS
from tests.upstream.test_transcripts import REPLIES


def seeds() -> Iterator[bytes]:
    texts = [reply.text for reply in REPLIES.values()]
    texts += ATTACKS.values()
    texts += [text for text, _ in PAST_LIMITS.values()]
    texts += WITHIN_LIMITS.values()
    for place, text in enumerate(texts):
        yield bytes([(0, 5, 64, 12)[place % 4], place % 64]) + text[:2000]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds():
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


if __name__ == "__main__":
    main()
