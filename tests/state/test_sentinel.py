"""A master that sentinels name, and another one after it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from router.core.redis_address import parse_redis_url
from router.state.exchange import Batch, MediumError, Use
from router.state.redis.client import connect
from router.state.redis.link import dialer
from router.state.redis.medium import RedisMedium
from tests.state.redis_servers import RedisServer, found, free_port, redis_server

CONFIG = """\
port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor main 127.0.0.1 {master} 1
sentinel down-after-milliseconds main 500
sentinel failover-timeout main 2000
"""


@dataclass
class Guarded:
    master: RedisServer
    url: str


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """A master, its replica, and one sentinel that knows of both."""
    found("redis-server")
    port = free_port()
    folders = [tmp_path / name for name in ("master", "replica", "sentinel")]
    for folder in folders:
        folder.mkdir()
    with redis_server(folders[0]) as master, redis_server(folders[1]) as replica:
        with replica.admin() as admin:
            admin.replicaof("127.0.0.1", str(master.port))
        (folders[2] / "sentinel.conf").write_text(CONFIG.format(port=port, folder=folders[2], master=master.port))
        program = shutil.which("redis-server") or "redis-server"
        command = [program, "sentinel.conf", "--sentinel"]
        with subprocess.Popen(command, cwd=folders[2], stdout=subprocess.DEVNULL) as sentinel:
            try:
                with redis.Redis(port=port, protocol=2) as asked:
                    began = time.monotonic()
                    while not _knows_both(asked):
                        assert time.monotonic() - began < 30.0
                        time.sleep(0.1)
                yield Guarded(master, f"redis+sentinel://127.0.0.1:{port}/main")
            finally:
                sentinel.kill()


def _knows_both(sentinel: redis.Redis) -> bool:
    try:
        return len(sentinel.sentinel_slaves("main")) == 1
    except redis.RedisError:
        return False


async def test_a_trade_goes_to_the_master_and_after_a_failover_to_the_next(guarded: Guarded) -> None:
    address = parse_redis_url(guarded.url)
    medium = RedisMedium(lambda: connect(address), "router", dial=dialer(address))
    assert (await medium.trade(Batch("one", 0, 1, {"a": Use(1)}))).live == 1
    assert (await medium.trade(Batch("other", 0, 1))).uses == {"a": Use(1)}
    guarded.master.stop()
    began, turn, reasons = time.monotonic(), 1, set[str]()
    while True:
        turn += 1
        try:
            await medium.trade(Batch("one", 0, turn, {"a": Use(1)}))
            break
        except MediumError as error:
            reasons.add(error.reason)
            assert time.monotonic() - began < 60.0
            await asyncio.sleep(0.1)
    assert reasons <= {"unreachable", "timeout", "read_only", "failing_over", "loading"}, reasons
    assert (await medium.trade(Batch("other", 0, 2))).uses == {"a": Use(1)}
    await medium.close()
