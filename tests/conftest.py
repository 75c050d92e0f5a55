"""What every test shares: hypothesis' profiles and, for those that ask, a second event loop and certificates."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import uvloop

from tests.certificates import Certificates, make_certificates

# In CI the same examples every time, so that a red run is red again; at home new ones, the failing ones kept in
# .hypothesis until mended.
hypothesis.settings.register_profile("home", max_examples=100, deadline=None)
hypothesis.settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, database=None, print_blob=True
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI", "").lower() in ("1", "true") else "home")


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A test may leave an official client in the middle of a stream: its library's generators are not ours."""
    left = context.get("asyncgen")
    if left is None or "site-packages" not in left.ag_code.co_filename:
        loop.default_exception_handler(context)


def _telling(new: Callable[[], asyncio.AbstractEventLoop]) -> Callable[[], asyncio.AbstractEventLoop]:
    def loop() -> asyncio.AbstractEventLoop:
        made = new()
        made.set_exception_handler(_tell)
        return made

    return loop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own loop; with the marker `both_loops` also uvloop, which is what production runs on."""
    if item.get_closest_marker("both_loops"):
        return {"asyncio": _telling(asyncio.new_event_loop), "uvloop": _telling(uvloop.new_event_loop)}
    return {"asyncio": _telling(asyncio.new_event_loop)}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


class _Told(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(
            f"{record.getMessage()} {record.exc_info[1]!r}" if record.exc_info else record.getMessage()
        )


@pytest.fixture(autouse=True)
def nothing_is_lost_in_the_loop() -> Iterator[None]:
    """No task or future ends with an error that nobody looks at: asyncio only logs it, once they are garbage."""
    told = _Told()
    logger = logging.getLogger("asyncio")
    logger.addHandler(told)
    try:
        yield
    finally:
        logger.removeHandler(told)
    assert told.messages == []
