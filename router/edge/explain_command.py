"""The verb `explain`: what a router that has just started would do with a request."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import typer

from router.core.catalogue import Catalogue
from router.core.errors import RouterError
from router.core.events import Event
from router.core.types import Principal
from router.edge.explain import document, explanation_of
from router.edge.explain_text import text_of
from router.edge.inference import parse
from router.state.memory import MemoryStore

BODIES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hello!"}]},
    "completion": {"prompt": "Hello!"},
    "embedding": {"input": "Hello!"},
}
"""What is asked where no body is given, by kind."""


def run(catalogue: Catalogue, model: str | None, body: Path | None, kind: str | None, *, as_json: bool) -> int:
    """Print it. The exit code: 0; 1 where the request would be refused; 2 where there is nothing to explain."""
    store = MemoryStore(monotonic, _ignore)
    store.configure(catalogue)
    try:
        raw = _body(model, body, kind)
        told = explanation_of(catalogue, Principal("command line", admin=True), store.view(), {}, raw, kind)
    except RouterError as error:
        typer.echo(error.message, err=True)
        return 2
    except OSError as error:
        typer.echo(f"{body}: cannot read the body: {error.strerror}", err=True)
        return 2
    found = document(told, catalogue)
    typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() if as_json else text_of(found))
    return 1 if told.refusal is not None else 0


def _body(model: str | None, path: Path | None, kind: str | None) -> bytes:
    if path is None:
        asked = dict(BODIES.get(kind or "chat", BODIES["chat"]))
    else:
        raw = typer.get_binary_stream("stdin").read() if str(path) == "-" else path.read_bytes()
        asked, _ = parse(raw)
        if model is None:
            return raw
    return orjson.dumps({**asked, "model": model} if model is not None else asked)


def _ignore(event: Event) -> None:
    """Nothing happens."""
