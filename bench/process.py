"""A process tree on given cores: started, watched, paused and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

CPUCLOCK_SCHED = 2  # clock_getcpuclockid(3): the low bits of a process clock's id
PAGE = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """What is started meanwhile inherits these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def core_busy(core: int) -> float:
    """Seconds that a core has worked since the machine started, for whomever; in steps of 10 ms."""
    with Path("/proc/stat").open() as stat:
        fields = next(line.split() for line in stat if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(each) for each in fields[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Process:
    """One started command and all its descendants, in a session of their own."""

    def __init__(self, command: Sequence[str], cores: set[int], log: Path, env: Mapping[str, str]) -> None:
        self.log = log
        with pinned(cores), log.open("wb") as output:
            self._root = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env},
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._root.poll() is None

    def pids(self) -> list[int]:
        """The command and its descendants, as they are now."""
        found = [self._root.pid]
        for pid in found:  # grows meanwhile
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def cpu(self) -> float:
        """Seconds of processor time so far, user and system, all threads, to the nanosecond."""
        total = 0.0
        for pid in self.pids():
            with suppress(OSError):
                total += time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
        return total

    def rss(self) -> int:
        """Resident bytes of the whole tree; pages that processes share are counted in each."""
        total = 0
        for pid in self.pids():
            with suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        return total

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends the tree, by force after 3 s."""
        self.resume()
        self._signal(signal.SIGTERM)
        try:
            self._root.wait(3)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._root.wait()
        self._signal(signal.SIGKILL)

    def last_words(self, lines: int = 3) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return " / ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())[-400:]

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._root.pid, number)  # the session's leader leads its process group too
