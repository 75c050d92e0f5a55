"""What a decision costs: plan, filters and choice together, in µs per request, per strategy.

    python -m bench.routing [--seconds 0.5]

Targets: 15 µs among 10 deployments, 30 µs among 2,000; with one deployment in ten resting and with limits on each, too.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from random import Random

from router.core.catalogue import Catalogue
from router.core.choice import choose
from router.core.load import Snapshot
from router.core.strategies import STRATEGIES
from router.core.types import Deployment, Estimate, ModelGroup, Prices, RouteRequest, RoutingPolicy, Usage
from router.state.base import Outcome, Served
from router.state.memory import MemoryStore

NOW = 1000.0
PRICES = [Prices(2.5e-6, 1e-5), Prices(1.1e-6, 4.4e-6), Prices(1.5e-7, 6e-7)]
SIZES = ((2, 15.0), (10, 15.0), (2000, 30.0))
ROUNDS = 5
BATCH = 50


def build(strategy: str, size: int, *, resting: float, limits: bool) -> tuple[ModelGroup, MemoryStore]:
    """A group under some load, with every deployment sampled."""
    rng = Random(1)
    fields = {"rpm": 10**9, "tpm": 10**12} if limits else {}
    deployments = tuple(
        Deployment(
            f"d{index}",
            "gpt",
            "openai",
            f"m{index}",
            f"http://h{index}/v1",
            ("key",),
            context_window=128_000,
            prices=PRICES[index % len(PRICES)],
            **fields,
        )
        for index in range(size)
    )
    group = ModelGroup("gpt", (deployments,), RoutingPolicy(strategy=strategy))
    store = MemoryStore(lambda: NOW, lambda event: None)
    store.configure(Catalogue({"gpt": group}))
    for candidate in store.view().tiers(group)[0]:
        for _ in range(3):
            lease = store.acquire(group, candidate, Estimate(500, 200), stream=True)
            lease.answered(NOW + rng.uniform(0.1, 1.0))
            usage = Usage(500, 200)
            store.settle(lease, Outcome(served=Served(4.0, rng.uniform(0.1, 1.0), usage)))
        for _ in range(rng.randrange(5)):
            store.acquire(group, candidate, Estimate(500, 200), stream=True)
        candidate.load.backlog.pace = 0.1
        if rng.random() < resting:
            candidate.load.breaker.open_until = NOW + 60.0
    return group, store


def measure(strategy: str, size: int, seconds: float, *, resting: float = 0.0, limits: bool = False) -> float:
    """µs per decision: the median of some rounds' best batches."""
    group, store = build(strategy, size, resting=resting, limits=limits)
    rng = Random(2)
    clock = time.thread_time  # what others do on this machine at the time is no cost of ours
    requests = [
        RouteRequest(
            "chat",
            "gpt",
            True,
            Estimate(500 + index, 200),
            NOW + 600.0,
            affinity=f"session {index}".__str__,
            size=4 * (500 + index) + 200,  # in bytes, as the edge tells it of every request
        )
        for index in range(BATCH)
    ]
    view: Snapshot = store.view()
    best = []
    for _ in range(ROUNDS):
        ends, batches = clock() + seconds / ROUNDS, []
        while clock() < ends:
            began = clock()
            for request in requests:
                choose(request, group, view, rng)
            batches.append((clock() - began) / BATCH * 1e6)
        best.append(min(batches))
    return statistics.median(best)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each figure")
    seconds = parser.parse_args().seconds
    gc.disable()
    heads = [f"{size}" for size, _ in SIZES]
    columns = [*heads, *(f"{head}, 10 % rest" for head in heads[1:]), *(f"{head}, limits" for head in heads[1:])]
    print(f"{'µs among':16}" + "".join(f"{column:>16}" for column in columns))
    missed = 0
    targets = [target for _, target in (*SIZES, *SIZES[1:], *SIZES[1:])]
    for strategy in STRATEGIES:
        figures = [measure(strategy, size, seconds) for size, _ in SIZES]
        figures += [measure(strategy, size, seconds, resting=0.1) for size, _ in SIZES[1:]]
        figures += [measure(strategy, size, seconds, limits=True) for size, _ in SIZES[1:]]
        missed += sum(figure > target for figure, target in zip(figures, targets, strict=True))
        print(f"{strategy:16}" + "".join(f"{figure:16.1f}" for figure in figures))
    print("within the targets" if not missed else f"{missed} of the figures miss the targets")


if __name__ == "__main__":
    main()
