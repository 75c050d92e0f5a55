"""Time as the core knows it: a number that somebody hands in."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]
"""Monotonic seconds with an arbitrary start, such as `loop.time`."""
