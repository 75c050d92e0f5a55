"""What a serving process asks of the system and of its event loop."""

from __future__ import annotations

import asyncio
import platform
import socket
import subprocess
import sys

import pytest
import uvloop

FAULTS = """
import resource
from router.process.serve import keep_freed_memory
keep_freed_memory()

def faults(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        bodies = [bytes(size) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

for size in (100_000, 5_000_000):
    faults(size)
    print(faults(size))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_memory_that_every_request_frees_is_not_faulted_in_again() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert all(int(faults) < 100 for faults in done.stdout.split())  # else thousands


def test_what_one_turn_of_the_loop_writes_goes_out_at_its_end() -> None:
    """Of uvloop up to 0.22; see docs/decisions/0015-writes-at-the-end-of-a-turn.md."""

    async def write() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(asyncio.Protocol, *server.getsockname())
            peer, _ = server.accept()
            with peer:
                peer.setblocking(False)
                transport.write(b"a")
                with pytest.raises(BlockingIOError):
                    peer.recv(10)
                transport.write(b"b")
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert peer.recv(10) == b"ab"
            transport.close()
            await asyncio.sleep(0)

    uvloop.run(write())
