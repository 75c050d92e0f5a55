"""Hot reload: the configuration is read anew when a signal asks for it, or when one of its files has changed.

Reading and checking thousands of deployments takes a good part of a second. It happens on a thread that hands the
interpreter back to the event loop every half millisecond, and without the garbage collector, whose full collections
would stop the loop for a tenth of a second. What then remains to be done on the loop is one short step.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from router.config.load import Config
from router.config.sources import Sources, Stamp
from router.core.clock import Clock
from router.core.errors import ConfigError
from router.core.events import Observer, Reloaded

if TYPE_CHECKING:
    from collections.abc import Iterator

POLL = 1.0
"""Seconds between two looks at the files."""
SETTLED = 0.2
"""Seconds for which files must stay the same, once they have changed: an editor may be halfway through."""
_TURN = 0.0005


class HasFixed(Protocol):
    @property
    def fixed(self) -> tuple[str, ...]: ...


C = TypeVar("C", bound=HasFixed)


class Target(Protocol[C]):
    """What is reconfigured: see `App`."""

    def prepare(self, config: Config) -> C: ...
    def adopt(self, change: C) -> None: ...


class Reloader(Generic[C]):
    """`read` makes a configuration of files (raising ConfigError), `sources` are those it is made of now."""

    def __init__(
        self,
        read: Callable[[Sources], Config],
        sources: Sources,
        target: Target[C],
        observer: Observer,
        unforeseen: Callable[[BaseException], None],
        wall_clock: Clock,
        afresh: Callable[[], Sources] = Sources,
    ) -> None:
        """`afresh` gives what the files are read by the next time."""
        self._read = read
        self.sources = sources
        self._afresh = afresh
        self._target = target
        self._observer = observer
        self._unforeseen = unforeseen
        self._wall_clock = wall_clock
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Read the files anew, whether they have changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Reload whenever there is reason to, until cancelled."""
        while True:
            await self._reason()
            await self.reload()

    async def reload(self) -> None:
        """Put in force what the files say, or say why not. Raises nothing."""
        self._asked.clear()
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.sources = self._afresh()
        problems: tuple[str, ...] = ()
        fixed: tuple[str, ...] = ()
        with _out_of_the_way():
            try:
                change = await asyncio.to_thread(self._prepare, self.sources)
                self._target.adopt(change)
                fixed = change.fixed
            except ConfigError as error:
                problems = tuple(error.problems)
            except Exception as error:
                self._unforeseen(error)
                problems = ("the router failed on it; its log has the details",)
        self._observer(Reloaded(self._wall_clock(), loop.time() - began, problems, fixed))

    def _prepare(self, sources: Sources) -> C:
        return self._target.prepare(self._read(sources))

    async def _reason(self) -> None:
        """Wait until somebody asks, or until the files have changed and are at rest again."""
        seen: list[Stamp | None] | None = None
        while True:
            try:
                async with asyncio.timeout(POLL if seen is None else SETTLED):
                    await self._asked.wait()
                return
            except TimeoutError:
                pass
            now = await asyncio.to_thread(self.sources.changed)
            if now is not None and now == seen:
                return
            seen = now


@contextmanager
def _out_of_the_way() -> Iterator[None]:
    """See the module's own words. What was made meanwhile stays for long: no later collection looks at it."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        sys.setswitchinterval(interval)
