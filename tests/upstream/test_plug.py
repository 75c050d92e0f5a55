"""What the event loop calls of a connection."""

from __future__ import annotations

import asyncio

import pytest

from router.upstream.plug import BufferedPlug, Connected, Plug, Plugged, PluggedWithBuffer


def methods(*classes: type) -> set[str]:
    return {name for cls in classes for name in vars(cls) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("plug", "plugged"), [(Plug, Plugged), (BufferedPlug, PluggedWithBuffer)], ids=["plain", "buffered"]
)
def test_everything_that_a_loop_calls_is_plugged(plug: type[Plug | BufferedPlug], plugged: type) -> None:
    assert set(plug.__slots__) == methods(asyncio.BaseProtocol, *plug.__bases__) == methods(Connected, plugged)
