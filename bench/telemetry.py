"""What metrics, access log and traces cost: the router `silent`, `observed` (metrics and log, as it is by default), and
`traced`, every request of it.

    python -m bench.telemetry [--rounds 12] [--seconds 2]

Processor time for each request, and its ratio to that of the router with nobody listening, paired within rounds. The
target: metrics and log together at most 1.15.
"""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.ourselves import arguments, beside_the_load, compare, way
from bench.stats import ratio


class Collector(BaseHTTPRequestHandler):
    """Takes traces, and forgets them."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> int:
    options = arguments("bench.telemetry", __doc__).parse_args()
    cores = beside_the_load()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    traces = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
    ways = [
        way("silent", {}, "bench.silent"),
        way("observed", {}),
        way("traced", {"telemetry": {"tracing": {"endpoint": traces}}}),
    ]
    results = compare(cores, ways, options.rounds, options.seconds)
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
