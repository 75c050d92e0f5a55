"""Renders templates on a few worker processes, started when first needed.

What the limit of time guarantees: the event loop never renders; a rendering that takes longer than `seconds` from
when a worker took it up is over then, its worker killed and the request answered; nobody waits longer than `patience`
for a worker to be free. Workers have none of the router's environment variables, so none of its secrets.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from router.core.errors import FailureKind, UpstreamFailure
from router.core.prompts import JinjaTemplate
from router.dialects.failures import unsupported
from router.templates import worker

SECONDS = 1.0
PATIENCE = 10.0
WORKERS = 2
_LONGEST_ANSWER = 8 * worker.MOST_TEXT
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TZ")


class TemplateRenderer:
    """See `flow.prompter.Renderer`. Of one event loop. `seconds` for one rendering, `patience` for all of the wait."""

    def __init__(self, seconds: float = SECONDS, patience: float = PATIENCE, workers: int = WORKERS) -> None:
        self._seconds = seconds
        self._patience = patience
        self._room = asyncio.Semaphore(workers)
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._outcomes = dict.fromkeys(("ok", "refused", "failed", "slow", "busy"), 0)

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """For the metrics; nothing where no template was ever rendered."""
        if any(self._outcomes.values()):
            for outcome, count in self._outcomes.items():
                yield "router_template_renderings_total", (outcome,), float(count)

    @property
    def processes(self) -> list[int]:
        """Of the workers there are."""
        return sorted(each.pid for each in self._all)

    async def render(self, template: JinjaTemplate, variables: Mapping[str, Any]) -> str:
        """Raises UpstreamFailure: a 400 where the template refuses the conversation, a 500 where it fails."""
        try:
            async with asyncio.timeout(self._patience), self._room:
                answer = await self._ask(template, variables)
        except TimeoutError:
            answer = {"busy": f"had no worker within {self._patience:g} s"}
        except (asyncio.IncompleteReadError, OSError):
            answer = {"failed": "could not start a worker"}
        outcome, told = next(iter(answer.items()))
        self._outcomes["ok" if outcome == "text" else outcome] += 1
        if outcome == "text":
            return str(told)
        if outcome == "refused":
            raise unsupported("messages", f"the chat template {template.name} refuses this: {told}")
        raise _failed(template, str(told))

    async def close(self) -> None:
        """End every worker."""
        for each in tuple(self._all):
            await self._end(each)

    async def _ask(self, template: JinjaTemplate, variables: Mapping[str, Any]) -> dict[str, Any]:
        """A worker's answer, or what became of the worker: one member, its name the outcome."""
        question = {"template": template.text, "variables": variables, "seconds": 2 * self._seconds}
        process = self._idle.pop() if self._idle else await self._start()
        done = False
        try:
            async with asyncio.timeout(self._seconds):
                answer = await process.ask(orjson.dumps(question))
            done = True
            return answer
        except TimeoutError:
            return {"slow": f"took longer than {self._seconds:g} s"}
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            return {"failed": "ended its worker"}
        finally:
            if done:
                self._idle.append(process)
            else:
                await asyncio.shield(self._end(process))

    async def _start(self) -> _Worker:
        started = await _Worker.start()
        self._all.add(started)
        try:
            await started.receive()
        except BaseException:
            await asyncio.shield(self._end(started))
            raise
        return started

    async def _end(self, process: _Worker) -> None:
        self._all.discard(process)
        if process in self._idle:
            self._idle.remove(process)
        await process.kill()


class _Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(cls) -> _Worker:
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-P", str(Path(worker.__file__)), env=kept, cwd="/", limit=1 << 20,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )
        )  # fmt: skip

    async def ask(self, question: bytes) -> dict[str, Any]:
        """Raises ConnectionError, IncompleteReadError or ValueError where the process has ended or talks nonsense."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(len(question).to_bytes(4, "big") + question)
        await stdin.drain()
        return await self.receive()

    async def receive(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        size = int.from_bytes(await stdout.readexactly(4), "big")
        if size > _LONGEST_ANSWER:
            raise ValueError("an answer is too long")
        answer = orjson.loads(await stdout.readexactly(size))
        return dict(answer)

    async def kill(self) -> None:
        if self._process.returncode is None:
            try:
                self._process.kill()
            except ProcessLookupError:
                pass
        await self._process.wait()


def _failed(template: JinjaTemplate, what: str) -> UpstreamFailure:
    """Nothing was sent, and nothing is upstream's fault."""
    message = f"the chat template {template.name} {what}"
    error = {"message": message, "type": "api_error", "param": None, "code": "template_failed"}
    return UpstreamFailure(FailureKind.UNSUPPORTED, message, status=500, body=orjson.dumps({"error": error}))
