"""The router beside itself, set up in several ways: what a part of it costs, by the cheapest of measures."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import uvloop

from bench import configs, measure
from bench.contenders import Contender, Place
from bench.ring import Cores, Ring
from bench.stats import ratio


def arguments(program: str, doc: str) -> argparse.ArgumentParser:
    """`--rounds` and `--seconds`; `doc` is the docstring whose first line says what it is for."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=doc.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=int, default=2)
    return parser


def beside_the_load() -> Cores:
    """This process, and all that it starts from now on, on the core of the load."""
    os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"
    cores = Cores.of_this_machine()
    os.sched_setaffinity(0, cores.load)
    return cores


def way(name: str, settings: Mapping[str, Any], module: str = "router") -> Contender:
    """`settings` are added to those of the benchmark, section by section; `module` takes the router's command line."""

    def command(place: Place) -> list[str]:
        whole = json.loads(configs.router(place.port, place.upstreams)) | settings
        config = place.file(f"{name}-{place.port}.yaml", json.dumps(whole))
        return [sys.executable, "-m", module, "serve", "--config", config]

    return Contender(
        name, command, lambda: sys.executable, lambda: "", lambda _: {"Authorization": f"Bearer {configs.API_KEY}"}
    )


def compare(cores: Cores, ways: Sequence[Contender], rounds: int, seconds: int) -> measure.Results:
    """Plain requests through each of them, in every round."""

    async def run() -> measure.Results:
        with Ring(cores, streaming=False) as ring:
            await ring.start(ways)
            by_name = {each.name: each for each in ways}
            return await measure.rounds(
                ring, rounds, by_name, measure.requests(ring, seconds), lambda text: print(text, file=sys.stderr)
            )

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def table(results: measure.Results, names: Sequence[str]) -> str:
    """In Markdown, each beside the first of them."""
    first = names[0]
    lines = [f"| | CPU µs per request | over {first} | requests/s |", "|---|---|---|---|"]
    for name in names:
        cpu, per_second = results.middle(name, "cpu"), results.middle(name, "per_second")
        found = None if cpu is None else ratio(results.column(name, "cpu"), results.column(first, "cpu"))
        if cpu is None or found is None or per_second is None:
            lines.append(f"| {name} | {results.failures.get(name, '–')} | – | – |")
            continue
        shown = f"**{found.median:.3f}** ({found.low:.3f}–{found.high:.3f})"
        lines.append(f"| {name} | {cpu * 1e6:.1f} | {shown} | {per_second:,.0f} |")
    return "\n".join(lines)
