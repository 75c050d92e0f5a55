"""Requests per second, by wrk: as fast as the contender answers, over a fixed number of connections."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.client import Target
from bench.payload import PATH, request_body

SCRIPT = """\
wrk.method = "POST"
wrk.body = [==[%s]==]
wrk.headers["Content-Type"] = "application/json"
%s
done = function(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write
  failed = failed + summary.errors.status + summary.errors.timeout
  io.write(string.format('\\n{"requests": %%d, "micros": %%d, "failed": %%d, "p50": %%d, "p99": %%d}\\n',
    summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Burst:
    """What one run of wrk saw; latencies in seconds."""

    requests: int
    seconds: float
    failed: int
    p50: float
    p99: float


def burst(target: Target, seconds: int, connections: int, script: Path) -> Burst:
    """Runs wrk for whole seconds. Raises RuntimeError with its words where it fails."""
    headers = "\n".join(f"wrk.headers[{json.dumps(name)}] = [==[{value}]==]" for name, value in target.headers.items())
    script.write_text(SCRIPT % (request_body().decode(), headers))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), "--timeout", "10s"]
    command.append(f"http://127.0.0.1:{target.port}{PATH}")
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"wrk: {(result.stderr or result.stdout).strip()[-300:]}")
    said = json.loads(lines[-1])
    return Burst(said["requests"], said["micros"] / 1e6, said["failed"], said["p50"] / 1e6, said["p99"] / 1e6)
