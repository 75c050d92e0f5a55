"""What is simulated: the requests of a trace, and how each deployment would serve them. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from router.core.types import Kind

FOREVER = float("inf")


class TracedRequest(NamedTuple):
    """One request of a trace: `at` in seconds from its first request, sizes in tokens. An empty `model` is whichever
    the simulation is asked to take; requests of one `session` belong together, those without one to nobody."""

    at: float
    prompt_tokens: int
    output_tokens: int
    model: str = ""
    stream: bool = True
    kind: Kind = "chat"
    session: str = ""


class OutageKind(StrEnum):
    """How a deployment fails: its port is closed, it takes requests and does not go on, or it answers with an error."""

    REFUSE = "refuse"
    HANG = "hang"
    UNAVAILABLE = "503"
    RATE_LIMITED = "429"


@dataclass(frozen=True, slots=True)
class Outage:
    """From `start` until `end`, in seconds from the beginning. `retry_after`: what a 503 or 429 names, in seconds."""

    start: float
    end: float
    kind: OutageKind
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class SlowDown:
    """From `start` until `end`, in seconds from the beginning, everything takes `factor` times as long."""

    start: float
    end: float
    factor: float


@dataclass(frozen=True, slots=True)
class MachineModel:
    """What stands behind a deployment.

    `slots` requests are served at once, at these rates each; further ones queue there, first come first served.
    `prefill` prompt tokens and `decode` output tokens per second; `latency` seconds are added to whatever the router
    sees. `jitter`: standard deviation of the natural logarithm of how long a request takes. `rpm`, `tpm`: beyond so
    many requests or tokens in any 60 seconds it answers 429 with `retry-after`.
    """

    slots: int = 32
    prefill: float = 8000.0
    decode: float = 50.0
    latency: float = 0.05
    jitter: float = 0.0
    rpm: int | None = None
    tpm: int | None = None
    outages: tuple[Outage, ...] = ()
    slow_downs: tuple[SlowDown, ...] = ()

    def seconds(self, prompt_tokens: float, output_tokens: float) -> float:
        """How long a slot is taken by a request of that size while nothing is the matter."""
        return prompt_tokens / self.prefill + output_tokens / self.decode


@dataclass(frozen=True, slots=True)
class Scenario:
    """The machines by deployment id; `default` for those without an entry."""

    default: MachineModel = MachineModel()
    machines: Mapping[str, MachineModel] = field(default_factory=dict)

    def machine(self, deployment: str) -> MachineModel:
        return self.machines.get(deployment, self.default)
