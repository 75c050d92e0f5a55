"""What a request has used and cost: as upstream reported it, or else as an estimate that is marked as one."""

from __future__ import annotations

from router.core.events import Finished
from router.core.types import Deployment, Estimate, RouteRequest, Usage


def book(
    record: Finished,
    route: RouteRequest,
    deployment: Deployment,
    usage: Usage | None,
    expected: Estimate,
    produced: int,
) -> None:
    """Note `usage` and its cost. Without it, the prompt is taken as `expected`, and the output for `produced`
    tokens."""
    if usage is None:
        usage = Usage(expected.prompt_tokens, 0 if route.kind == "embedding" else produced, estimated=True)
    record.usage = usage
    prices = deployment.prices if route.prices is None else deployment.prices.replaced_by(route.prices)
    record.cost = prices.cost(usage)
