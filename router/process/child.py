"""One worker as the supervisor sees it: a place that is filled by one process after the other."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.process.channel import Channel, ChannelClosed, Handler


@dataclass(eq=False)
class Life:
    """One process of a worker."""

    number: int
    process: asyncio.subprocess.Process
    channel: Channel
    began: float = field(default_factory=time.monotonic)
    ready: bool = False

    @property
    def lived(self) -> float:
        return time.monotonic() - self.began

    def tell(self, what: str, told: Any = None) -> None:
        """A worker that is gone need not be told."""
        try:
            self.channel.tell(what, told)
        except ChannelClosed:
            pass

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()


async def born(
    number: int,
    sockets: Sequence[socket.socket],
    arguments: Sequence[str],
    environment: Mapping[str, str],
    handlers: Callable[[Life], Mapping[str, Handler]],
) -> Life:
    """Start a worker. It inherits the sockets, and one end of a channel."""
    ours, theirs = socket.socketpair()
    descriptors = [sock.fileno() for sock in sockets]
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", "worker", "--number", str(number),
            "--listen", ",".join(map(str, descriptors)), "--channel", str(theirs.fileno()), *arguments,
            env=dict(environment), pass_fds=[*descriptors, theirs.fileno()], stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)
    table: dict[str, Handler] = {}
    life = Life(number, process, await Channel.over(ours, table))
    table.update(handlers(life))
    return life


def how(code: int) -> str:
    """An end in words."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
