"""The process that renders Jinja templates. It is started as a script, and knows nothing of the router.

It reads questions from its standard input and answers them on its standard output, both JSON behind 4 bytes of length:
`{template, variables, seconds}`, and one of `{text}`, `{refused}` (the template raised) and `{failed}`. Before the
first it says `{ready}`.

The templates run in jinja2's immutable sandbox: no attribute beginning with an underscore, nothing that changes what
it is given. The process has no more memory than MEMORY, may not write files, and is ended by the system where a
question has not been answered within its `seconds`, whatever becomes of the one who asked.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from datetime import datetime
from functools import lru_cache
from typing import Any, BinaryIO

MEMORY = 512 * 1024 * 1024
"""Bytes of address space."""
MOST_TEXT = 16 * 1024 * 1024
"""Characters of one prompt."""


class Refused(Exception):
    """What a template says with `raise_exception`."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    compile_ = _compiler()
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    _write(answers, {"ready": True})
    while (question := _read(questions)) is not None:
        signal.setitimer(signal.ITIMER_REAL, question["seconds"])
        answer = _answer(compile_, question)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        _write(answers, answer)


def _compiler() -> Any:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals.update(raise_exception=_refuse, strftime_now=_now)
    environment.filters["tojson"] = _json
    return lru_cache(maxsize=64)(environment.from_string)


def _answer(compile_: Any, question: dict[str, Any]) -> dict[str, str]:
    try:
        text = compile_(question["template"]).render(question["variables"])
        if len(text) > MOST_TEXT:
            return {"failed": f"made more than {MOST_TEXT} characters"}
        return {"text": text}
    except Refused as error:
        return {"refused": str(error)[:1000]}
    except MemoryError:
        return {"failed": "needs too much memory"}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:1000]}


def _refuse(message: str) -> None:
    raise Refused(message)


def _now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _json(value: Any, indent: int | None = None) -> str:
    """As the models' own templates expect it: without HTML's escapes."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _read(stream: BinaryIO) -> dict[str, Any] | None:
    size = stream.read(4)
    if len(size) < 4:
        return None
    question: dict[str, Any] = json.loads(stream.read(int.from_bytes(size, "big")))
    return question


def _write(stream: BinaryIO, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode()
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()


if __name__ == "__main__":
    main()
