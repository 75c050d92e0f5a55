"""What metrics, access log and traces cost: the router `silent`, `observed` (metrics and log, as it is by default), and
`traced`, every request of it.

    python -m bench.telemetry [--rounds 12] [--seconds 2]

Processor time for each request, and its ratio to that of the router with nobody listening, paired within rounds. The
target: metrics and log together at most 1.15.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import uvloop

from bench import configs, measure
from bench.contenders import Contender, Place
from bench.ring import Cores, Ring
from bench.stats import ratio

TARGET = 1.15


class Collector(BaseHTTPRequestHandler):
    """Takes traces, and forgets them."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _command(module: str, tracing: str | None = None) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        settings = json.loads(configs.router(place.port, place.upstreams))
        if tracing is not None:
            settings["telemetry"] = {"tracing": {"endpoint": tracing}}
        config = place.file(f"{module}-{place.port}.yaml", json.dumps(settings))
        return [sys.executable, "-m", module, "serve", "--config", config]

    return command


def contenders(collector: str) -> Sequence[Contender]:
    commands = {
        "silent": _command("bench.silent"),
        "observed": _command("router"),
        "traced": _command("router", collector),
    }
    return [
        Contender(
            name, command, lambda: sys.executable, lambda: "", lambda _: {"Authorization": f"Bearer {configs.API_KEY}"}
        )
        for name, command in commands.items()
    ]


async def run(cores: Cores, rounds: int, seconds: int, collector: str) -> measure.Results:
    chosen = contenders(collector)
    with Ring(cores, streaming=False) as ring:
        await ring.start(chosen)
        by_name = {contender.name: contender for contender in chosen}
        return await measure.rounds(
            ring, rounds, by_name, measure.requests(ring, seconds), lambda text: print(text, file=sys.stderr)
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.telemetry", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"
    cores = Cores.of_this_machine()
    os.sched_setaffinity(0, cores.load)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        address = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
        results = runner.run(run(cores, options.rounds, options.seconds, address))
    server.shutdown()
    print("| | CPU µs per request | over silent | requests/s |\n|---|---|---|---|")
    for name in ("silent", "observed", "traced"):
        cpu, found = results.middle(name, "cpu"), ratio(results.column(name, "cpu"), results.column("silent", "cpu"))
        per_second = results.middle(name, "per_second")
        if cpu is None or found is None or per_second is None:
            print(f"| {name} | {results.failures.get(name, '–')} | – | – |")
            continue
        shown = f"**{found.median:.3f}** ({found.low:.3f}–{found.high:.3f})"
        print(f"| {name} | {cpu * 1e6:.1f} | {shown} | {per_second:,.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
