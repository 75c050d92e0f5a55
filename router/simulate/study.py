"""What is to be simulated: every configuration with every strategy, once for each seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from router.config.load import load as load_config
from router.core.catalogue import Catalogue
from router.core.simulator.demand import load as load_of
from router.core.simulator.model import Scenario
from router.core.simulator.simulation import Setting, deployments_of, simulate
from router.core.simulator.summary import Summary, summarise
from router.core.simulator.tally import Figures
from router.core.strategies import STRATEGIES
from router.core.types import ModelGroup
from router.dialects.registry import PROVIDERS
from router.simulate.errors import SimulateError
from router.simulate.replica import MemoryReplica
from router.simulate.scenario import read_scenario
from router.simulate.traces import Trace, at_rate, read_trace


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. `load` chooses `rate` so that the fullest model group of the first configuration is asked for
    that share of what it can serve. `environment` is what the configurations may refer to."""

    trace: Path
    configs: tuple[Path, ...]
    scenario: Path | None = None
    model: str | None = None
    rate: float = 1.0
    load: float | None = None
    strategies: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (1,)
    replicas: int = 1
    staleness: float = 0.1
    limit: int | None = None
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result. `strategy` is empty where each model keeps its own."""

    config: str
    strategy: str
    catalogue: Catalogue
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Study:
    """`rate`: how many times faster than it was taken the trace is replayed; `load`: see `demand.load`."""

    options: Options
    trace: Trace
    rows: tuple[Row, ...]
    rate: float
    load: float

    def run(self, row: int, seed: int, progress: Callable[[int], None] = lambda arrived: None) -> Figures:
        options, it = self.options, self.rows[row]
        setting = Setting(seed, options.replicas, options.staleness)
        return simulate(self.trace.requests, it.catalogue, it.scenario, MemoryReplica, setting, progress)


@cache
def open_study(options: Options) -> Study:
    """Read everything. Raises ConfigError, SimulateError."""
    catalogues = [_catalogue(path, options) for path in options.configs]
    trace = _with_model(read_trace(options.trace, options.limit), options.model, catalogues)
    scenarios = [_scenario(options.scenario, catalogues, place) for place in range(len(catalogues))]
    load = load_of(trace.requests, catalogues[0], scenarios[0])
    rate = options.rate
    if options.load is not None:
        if not load:
            raise SimulateError("--load needs a trace with requests at different times")
        rate = options.load / load
    rows = [
        Row(path.stem if len(options.configs) > 1 else "", strategy, _routed_by(catalogue, strategy), scenario)
        for path, catalogue, scenario in zip(options.configs, catalogues, scenarios, strict=True)
        for strategy in options.strategies or ("",)
    ]
    return Study(options, at_rate(trace, rate), tuple(rows), rate, load * rate)


def run_study(study: Study, jobs: int, progress: Callable[[int], None]) -> list[Summary]:
    """One summary a row. `progress` hears of how many requests more have been simulated.

    `jobs` processes share the work; one is this process itself.
    """
    runs = [(row, seed) for row in range(len(study.rows)) for seed in study.options.seeds]
    found: list[Figures] = []
    if jobs == 1:
        for row, seed in runs:
            found.append(study.run(row, seed, progress))
            progress(0)
    else:
        with ProcessPoolExecutor(jobs) as pool:
            for result in pool.map(_run_elsewhere, [(study.options, row, seed) for row, seed in runs]):
                found.append(result)
                progress(len(study.trace.requests))
    seeds = len(study.options.seeds)
    return [summarise(found[place : place + seeds]) for place in range(0, len(found), seeds)]


def _run_elsewhere(task: tuple[Options, int, int]) -> Figures:
    options, row, seed = task
    return open_study(options).run(row, seed)


def _catalogue(path: Path, options: Options) -> Catalogue:
    config = load_config(path, dict(options.environment), providers=PROVIDERS.keys(), strategies=STRATEGIES.keys())
    return config.catalogue


def _scenario(path: Path | None, catalogues: Sequence[Catalogue], place: int) -> Scenario:
    """One file serves all configurations, so an entry need only be known to one of them."""
    if path is None:
        return Scenario()
    known = {deployment.id for catalogue in catalogues for deployment in deployments_of(catalogue)}
    own = {deployment.id for deployment in deployments_of(catalogues[place])}
    scenario = read_scenario(path, known)
    return replace(scenario, machines={name: one for name, one in scenario.machines.items() if name in own})


def _with_model(trace: Trace, model: str | None, catalogues: Sequence[Catalogue]) -> Trace:
    """Every request with a model that all configurations serve: `model` for all, else its own, else the only one."""
    only = model
    if only is None and not all(request.model for request in trace.requests):
        names = sorted(catalogues[0].groups)
        if len(names) != 1:
            raise SimulateError(f"the trace names no model: choose one with --model; known are {', '.join(names)}")
        only = names[0]
    requests = tuple(
        request._replace(model=only) if only and (model is not None or not request.model) else request
        for request in trace.requests
    )
    for name in sorted({request.model for request in requests}):
        for catalogue in catalogues:
            if catalogue.resolve(name) is None:
                close = catalogue.close_names(name) or catalogue.names()[:10]
                raise SimulateError(f"the model {name} is not served; --model chooses another one: {', '.join(close)}")
    return replace(trace, requests=requests)


def _routed_by(catalogue: Catalogue, strategy: str) -> Catalogue:
    if not strategy:
        return catalogue

    def changed(group: ModelGroup) -> ModelGroup:
        return replace(group, policy=replace(group.policy, strategy=strategy))

    return Catalogue(
        {name: changed(group) for name, group in catalogue.groups.items()},
        catalogue.aliases,
        tuple(changed(group) for group in catalogue.wildcards),
    )
