"""How much of a model group's capacity a trace asks for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from router.core.catalogue import Catalogue
from router.core.simulator.model import FOREVER, MachineModel, Scenario, TracedRequest
from router.core.types import ModelGroup


def load(trace: Sequence[TracedRequest], catalogue: Catalogue, scenario: Scenario) -> float:
    """Requests per second of the trace, over those that the group could serve at most; of the fullest group.

    What could be served is the sum over the group's machines of slots / mean seconds per request, at most what their
    rpm and tpm allow. Outages and slow-downs are not counted: they are what the load is to be judged under.
    """
    by_group: dict[str, list[TracedRequest]] = defaultdict(list)
    for request in trace:
        group = catalogue.resolve(request.model)
        if group is not None:
            by_group[group.name].append(request)
    seconds = trace[-1].at - trace[0].at if trace else 0.0
    if not seconds:
        return 0.0
    return max(
        len(requests) / seconds / _capacity(catalogue.resolve(requests[0].model), requests, scenario)
        for requests in by_group.values()
    )


def _capacity(group: ModelGroup | None, requests: Sequence[TracedRequest], scenario: Scenario) -> float:
    """Requests per second."""
    prompt = sum(request.prompt_tokens for request in requests) / len(requests)
    output = sum(request.output_tokens for request in requests) / len(requests)
    machines: dict[str, MachineModel] = {}
    for tier in group.tiers if group else ():
        for deployment in tier:
            if deployment.enabled:
                machines.setdefault(deployment.backend, scenario.machine(deployment.id))
    return sum(_most(machine, prompt, output) for machine in machines.values()) or 1e-9


def _most(machine: MachineModel, prompt: float, output: float) -> float:
    seconds = machine.seconds(prompt, output)
    return min(
        machine.slots / seconds if seconds else FOREVER,
        FOREVER if machine.rpm is None else machine.rpm / 60.0,
        FOREVER if machine.tpm is None else machine.tpm / 60.0 / max(prompt + output, 1.0),
    )
