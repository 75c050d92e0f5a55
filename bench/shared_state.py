"""What sharing state through Redis costs a request: the router with memory alone, and with Redis.

    python -m bench.shared_state [--rounds 12] [--seconds 2] [--add-to FILE]

Processor time for each request, paired within rounds; Redis runs beside the load. The target: at most 1.05. A machine
with other work to do takes many rounds: `--add-to` keeps them in a file, and reckons with all that are there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from bench import configs, measure
from bench.contenders import Contender, Place
from bench.process import free_port
from bench.ring import Cores, Ring
from bench.stats import ratio

Samples = dict[str, list[measure.Sample | None]]


def _command(redis_url: str) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        settings = json.loads(configs.router(place.port, place.upstreams)) | {"state": {"redis_url": redis_url}}
        config = place.file(f"router-{place.port}.yaml", json.dumps(settings))
        return [sys.executable, "-m", "router", "serve", "--config", config]

    return command


def contenders(redis_url: str) -> Sequence[Contender]:
    commands = {"memory": _command(""), "redis": _command(redis_url)}
    return [
        Contender(
            name, command, lambda: sys.executable, lambda: "", lambda _: {"Authorization": f"Bearer {configs.API_KEY}"}
        )
        for name, command in commands.items()
    ]


async def run(cores: Cores, rounds: int, seconds: int, redis_url: str) -> measure.Results:
    chosen = contenders(redis_url)
    with Ring(cores, streaming=False) as ring:
        await ring.start(chosen)
        by_name = {contender.name: contender for contender in chosen}
        return await measure.rounds(
            ring, rounds, by_name, measure.requests(ring, seconds), lambda text: print(text, file=sys.stderr)
        )


def _added(file: Path, samples: Samples) -> Samples:
    """What the file holds and `samples`, which it holds from then on, too."""
    known: Samples = json.loads(file.read_text("utf-8")) if file.exists() else {}
    both = {name: known.get(name, []) + column for name, column in samples.items()}
    file.write_text(json.dumps(both), "utf-8")
    return both


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.shared_state", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--add-to", type=Path)
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"
    cores = Cores.of_this_machine()
    os.sched_setaffinity(0, cores.load)
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--logfile", "/dev/null"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                results = runner.run(run(cores, options.rounds, options.seconds, f"redis://127.0.0.1:{port}"))
        finally:
            server.kill()
    if options.add_to is not None:
        results = measure.Results(_added(options.add_to, results.samples), results.failures)
    print(f"{len(results.samples['redis'])} rounds\n")
    print("| | CPU µs per request | over memory | requests/s |\n|---|---|---|---|")
    for name in ("memory", "redis"):
        cpu, found = results.middle(name, "cpu"), ratio(results.column(name, "cpu"), results.column("memory", "cpu"))
        per_second = results.middle(name, "per_second")
        if cpu is None or found is None or per_second is None:
            print(f"| {name} | {results.failures.get(name, '–')} | – | – |")
            continue
        shown = f"**{found.median:.3f}** ({found.low:.3f}–{found.high:.3f})"
        print(f"| {name} | {cpu * 1e6:.1f} | {shown} | {per_second:,.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
