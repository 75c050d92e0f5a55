"""A small world to simulate: one model group, its machines, and requests at regular moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from router.core.catalogue import Catalogue
from router.core.simulator.model import MachineModel, Scenario, TracedRequest
from router.core.simulator.simulation import Setting, simulate
from router.core.simulator.tally import Figures
from router.core.types import Deployment
from router.simulate.replica import MemoryReplica
from tests.core.making import deployment, group

PLAIN = MachineModel(slots=1, prefill=100.0, decode=10.0, latency=0.0)
"""A prompt of 100 tokens takes 1 s, 10 tokens of output another."""


def every(seconds: float, count: int, *, prompt: int = 100, output: int = 10, **more: Any) -> list[TracedRequest]:
    return [TracedRequest(place * seconds, prompt, output, "gpt", **more) for place in range(count)]


def catalogue(*deployments: Deployment, fallback: Sequence[Deployment] = (), **policy: Any) -> Catalogue:
    groups = [group(deployments, **policy)]
    if fallback:
        groups.append(group(tuple(fallback), name="other"))
    return Catalogue({one.name: one for one in groups})


def run(
    trace: Sequence[TracedRequest], machines: dict[str, MachineModel], *, setting: Setting | None = None, **policy: Any
) -> Figures:
    """Deployments by the names of `machines`."""
    served = catalogue(*(deployment(name) for name in machines), **policy)
    return simulate(trace, served, Scenario(PLAIN, machines), MemoryReplica, setting or Setting(1))
