"""What every test shares: hypothesis' profiles and, for those that ask, a second event loop."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator

import hypothesis
import pytest
import uvloop

# In CI the same examples every time, so that a red run is red again; at home new ones, the failing ones kept in
# .hypothesis until mended.
hypothesis.settings.register_profile("home", max_examples=100, deadline=None)
hypothesis.settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, database=None, print_blob=True
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI", "").lower() in ("1", "true") else "home")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own loop; with the marker `both_loops` also uvloop, which is what production runs on."""
    if item.get_closest_marker("both_loops"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


_LEFT_IN_THE_MIDDLE = "an error occurred during closing of asynchronous generator"
"""What asyncio says where a test left an official client in the middle of a stream: of httpx's own generators."""


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
    assert [each for each in told.messages if not each.startswith(_LEFT_IN_THE_MIDDLE)] == []
