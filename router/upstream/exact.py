"""Exact token counts, by a process of their own: neither vocabularies nor long prompts ever hold the event loop up.

The process is `router/upstream/exact_child.py`. It is asked one prompt at a time: a line with the length of the body,
the kind of request, the vocabulary and the model, then the body; it answers with a line, the number or `-`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection
from importlib.util import find_spec

from router.core.types import Kind

LATE = 5.0
"""Seconds after which a count is given up, and with it the process."""
PAUSE = 10.0
"""Seconds until a process that was given up is started anew."""


def can_count() -> bool:
    """Whether the extra `tokens` is installed."""
    return find_spec("tiktoken") is not None and find_spec("bpe_openai") is not None


class ExactCounter:
    """Counts by a process that is started when it is first needed, or by `start`."""

    def __init__(self, command: tuple[str, ...] = (sys.executable, "-m", "router.upstream.exact_child")) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._one_at_a_time = asyncio.Lock()
        self._not_before = 0.0
        self._starting: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self.given_up = 0

    def start(self, encodings: Collection[str]) -> None:
        """Begin to load vocabularies, if there are any."""
        if encodings:
            self._starting = asyncio.create_task(self._load(encodings))

    async def _load(self, encodings: Collection[str]) -> None:
        for encoding in encodings:
            await self.count(b'{"prompt":"a"}', "completion", encoding, "")

    async def count(self, raw: bytes, kind: Kind, encoding: str, model: str) -> int | None:
        """See `Counter`. None, too, where the process does not answer in time."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LATE), self._one_at_a_time:
                if self._process is None:
                    if loop.time() < self._not_before:
                        return None
                    self._process = await self._spawn()
                return await self._ask(self._process, raw, f"{kind} {encoding} {model or '-'}")
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            self.given_up += 1
            self._not_before = loop.time() + PAUSE
            self._kill()
            return None
        except asyncio.CancelledError:
            self._kill()  # in the middle of an answer, which the next one would take for its own
            raise

    async def stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        self._kill()
        if self._ending:
            await asyncio.wait(self._ending)

    async def _spawn(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, start_new_session=True)

    async def _ask(self, process: asyncio.subprocess.Process, raw: bytes, what: str) -> int | None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{len(raw)} {what}\n".encode())
        for start in range(0, len(raw), 65_536):
            process.stdin.write(raw[start : start + 65_536])
            await process.stdin.drain()
        answer = await process.stdout.readuntil(b"\n")
        return None if answer == b"-\n" else int(answer)

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            task = asyncio.create_task(_end(process))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Read to the end of a process, which closes its pipes."""
    try:
        await process.communicate()
    except (OSError, ValueError):
        await process.wait()
