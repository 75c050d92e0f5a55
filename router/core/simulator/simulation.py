"""One run: a trace, a catalogue and a scenario in, figures out. The same seed gives the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from router.core.catalogue import Catalogue
from router.core.clock import Clock
from router.core.simulator.events import ORIGIN, EventLoop
from router.core.simulator.journey import Journey, World
from router.core.simulator.machine import Machine
from router.core.simulator.model import Scenario, TracedRequest
from router.core.simulator.replica import Replica, exchange
from router.core.simulator.tally import Figures, Tally, figures
from router.core.tokens import DEFAULT_OUTPUT_TOKENS
from router.core.types import Deployment, Estimate, RouteRequest, Usage

PROGRESS_EVERY = 500


@dataclass(frozen=True, slots=True)
class Setting:
    """What may differ between runs besides the configuration. `staleness`: how old, in seconds, what one replica
    knows of the others may get."""

    seed: int = 0
    replicas: int = 1
    staleness: float = 0.1


def simulate(
    trace: Sequence[TracedRequest],
    catalogue: Catalogue,
    scenario: Scenario,
    open_replica: Callable[[Catalogue, Clock], Replica],
    setting: Setting = Setting(),
    progress: Callable[[int], None] = lambda served: None,
) -> Figures:
    """Replay `trace`, which is in order of time and asks for models of `catalogue` only.

    `open_replica` makes one router's state. `progress` hears, now and then, of how many requests more have arrived.
    """
    events, tally = EventLoop(), Tally()
    machines = build_machines(catalogue, scenario, events)
    world = World(events, catalogue, machines, tally, Random(f"{setting.seed} choices"))
    replicas = [open_replica(catalogue, events.clock) for _ in range(setting.replicas)]
    arrivals = _Arrivals(world, replicas, trace, setting.seed, progress)
    if trace:
        events.at(ORIGIN + trace[0].at, arrivals.next)
    if setting.replicas > 1:
        for place in range(setting.replicas):
            events.at(ORIGIN + setting.staleness * place / setting.replicas, _trade, events, replicas, place, setting)
    events.run(lambda: tally.over == len(trace))
    return figures(tally, len(trace), events.now - ORIGIN)


def build_machines(catalogue: Catalogue, scenario: Scenario, events: EventLoop) -> dict[str, Machine]:
    """One for each backend: two deployments with one backend are one machine, modelled as the first with an entry."""
    machines: dict[str, Machine] = {}
    deployments = deployments_of(catalogue)
    for deployment in sorted(deployments, key=lambda one: one.id not in scenario.machines):
        if deployment.backend not in machines:
            model = scenario.machine(deployment.id)
            machines[deployment.backend] = Machine(model, events, deployment.context_window)
    return machines


def deployments_of(catalogue: Catalogue) -> list[Deployment]:
    groups = [*catalogue.groups.values(), *catalogue.wildcards]
    return [deployment for group in groups for tier in group.tiers for deployment in tier]


class _Arrivals:
    """Sends each request of the trace on its way when its time has come."""

    def __init__(
        self,
        world: World,
        replicas: Sequence[Replica],
        trace: Sequence[TracedRequest],
        seed: int,
        progress: Callable[[int], None],
    ) -> None:
        self._world = world
        self._replicas = replicas
        self._trace = trace
        self._progress = progress
        self._place = 0
        # Apart from the choices' randomness, so that every strategy is given the same requests.
        self._rng = Random(f"{seed} requests")

    def next(self) -> None:
        traced = self._trace[self._place]
        self._place += 1
        if self._place < len(self._trace):
            self._world.events.at(ORIGIN + self._trace[self._place].at, self.next)
        if self._place % PROGRESS_EVERY == 0:
            self._progress(PROGRESS_EVERY)
        self._send(traced)

    def _send(self, traced: TracedRequest) -> None:
        world = self._world
        group = world.catalogue.resolve(traced.model)
        if group is None:
            raise LookupError(f"the trace asks for {traced.model}, which is not served")
        replica = self._replicas[self._rng.randrange(len(self._replicas))]
        deviation = self._rng.gauss(0.0, 1.0)
        key = traced.session or f"request {self._place}"
        request = RouteRequest(
            traced.kind,
            traced.model,
            traced.stream,
            Estimate(traced.prompt_tokens, DEFAULT_OUTPUT_TOKENS),
            world.events.now + group.policy.timeout,
            affinity=lambda: key,
        )
        usage = Usage(traced.prompt_tokens, traced.output_tokens)
        Journey(world, replica, request, group, usage, deviation).go_on()


def _trade(events: EventLoop, replicas: Sequence[Replica], place: int, setting: Setting) -> None:
    exchange(replicas, place)
    events.at(events.now + setting.staleness, _trade, events, replicas, place, setting)
