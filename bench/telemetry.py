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

from bench.ourselves import arguments, beside_the_load, compare, table, way


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
    print(table(results, [each.name for each in ways]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
