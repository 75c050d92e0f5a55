"""What stops a simulation before it begins."""

from __future__ import annotations


class SimulateError(Exception):
    """A trace, an option or a plot that cannot be had. The message says which, and why."""
