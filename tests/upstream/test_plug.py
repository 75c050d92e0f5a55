"""What the event loop calls of a connection."""

from __future__ import annotations

import asyncio

from router.upstream.plug import Plug, Plugged


def test_everything_that_a_loop_calls_is_plugged() -> None:
    classes = (asyncio.BaseProtocol, asyncio.BufferedProtocol)
    called = {name for cls in classes for name in vars(cls) if not name.startswith("_")}
    plugged = {name for name in vars(Plugged) if not name.startswith("_")}
    assert set(Plug.__slots__) == called == plugged
