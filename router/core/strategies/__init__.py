"""The open set of strategies, by the name `routing.strategy` gives."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from router.core.strategies.adaptive import Adaptive
from router.core.strategies.affinity import Affinity
from router.core.strategies.base import Strategy
from router.core.strategies.cost_based import CostBased
from router.core.strategies.latency_based import LatencyBased
from router.core.strategies.least_busy import LeastBusy
from router.core.strategies.round_robin import RoundRobin
from router.core.strategies.usage_based import UsageBased
from router.core.strategies.weighted import Weighted

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "weighted": Weighted(),
        "round-robin": RoundRobin(),
        "least-busy": LeastBusy(),
        "usage-based": UsageBased(),
        "latency-based": LatencyBased(),
        "cost-based": CostBased(),
        "affinity": Affinity(),
        "adaptive": Adaptive(),
    }
)
