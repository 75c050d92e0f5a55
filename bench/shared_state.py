"""What sharing state through Redis costs a request: the router with memory alone, and with Redis.

    python -m bench.shared_state [--rounds 12] [--seconds 2] [--add-to FILE]

Processor time for each request, paired within rounds; Redis runs beside the load. The target: at most 1.05. A machine
with other work to do takes many rounds: `--add-to` keeps them in a file, and reckons with all that are there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench import measure
from bench.ourselves import arguments, beside_the_load, compare, table, way
from bench.process import free_port

Samples = dict[str, list[measure.Sample | None]]


def _added(file: Path, samples: Samples) -> Samples:
    """What the file holds and `samples`, which it holds from then on, too."""
    known: Samples = json.loads(file.read_text("utf-8")) if file.exists() else {}
    both = {name: known.get(name, []) + column for name, column in samples.items()}
    file.write_text(json.dumps(both), "utf-8")
    return both


def main() -> int:
    parser = arguments("bench.shared_state", __doc__)
    parser.add_argument("--add-to", type=Path)
    options = parser.parse_args()
    cores = beside_the_load()
    port = free_port()
    ways = [
        way(name, {"state": {"redis_url": url}})
        for name, url in (("memory", ""), ("redis", f"redis://127.0.0.1:{port}"))
    ]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--logfile", "/dev/null"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            results = compare(cores, ways, options.rounds, options.seconds)
        finally:
            server.kill()
    if options.add_to is not None:
        results = measure.Results(_added(options.add_to, results.samples), results.failures)
    print(f"{len(results.samples['redis'])} rounds\n")
    print(table(results, [each.name for each in ways]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
