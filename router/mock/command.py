"""`llm-router mock`: the mock server as a process."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop

from router.dialects.mock.behaviour import Behaviour, parse_script
from router.mock.server import MockServer


def run(
    host: str = "127.0.0.1",
    port: int = 9001,
    *,
    ttft: float = 0.0,
    tps: float = 0.0,
    tokens: int = 0,
    script: str = "",
    failure_rate: float = 0.0,
    failure: str = "503",
    retry_after: float | None = None,
    rate_limit_headers: bool = False,
    reply: str = "",
    api_key: str = "",
    seed: int | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    `ttft` in seconds, `tps` in tokens per second (0: as fast as possible), `tokens` in words (0: as long as the reply
    is), `script` a comma-separated list of steps, `retry_after` in seconds. Port 0 lets the system choose; the line
    printed names the real one. Raises ValueError for a behaviour that cannot be played, OSError where the port is
    taken.
    """
    behaviour = Behaviour(
        time_to_first_token=ttft,
        tokens_per_second=tps,
        output_tokens=tokens,
        script=parse_script(script),
        failure_rate=failure_rate,
        failure=failure,
        retry_after=retry_after,
        rate_limit_headers=rate_limit_headers,
        reply=reply,
    )
    uvloop.run(_serve(MockServer(behaviour, api_key=api_key, seed=seed), host, port))


async def _serve(server: MockServer, host: str, port: int) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await server.start(host, port)
    sys.stdout.write(f"mock upstream listening on {server.url}\n")
    sys.stdout.flush()
    await ended.wait()
    await server.stop()
