"""Every behaviour of the edge is shown twice: by the short way through the server, and by aiohttp's own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.edge.house import Open, open_house


@pytest.fixture(params=[True, False], ids=["fast", "generic"])
def fast_path(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def house(fast_path: bool, tmp_path: Path) -> Open:
    """Opens a router: `async with house(group(…), keys=[…], max_body_bytes=100) as router`."""
    return partial(open_house, tmp_path / "access.log", fast_path=fast_path)
