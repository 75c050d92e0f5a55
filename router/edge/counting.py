"""Prompts that may be too long are counted exactly, where somebody can."""

from __future__ import annotations

from typing import Protocol

from router.core.types import Estimate, Kind, ModelGroup, RouteRequest
from router.dialects.base import InferenceRequest


class Counter(Protocol):
    async def count(self, raw: bytes, kind: Kind, encoding: str, model: str) -> int | None:
        """Prompt tokens of the body `raw`, by one of OpenAI's vocabularies; None where they cannot be known."""


async def counted(route: RouteRequest, request: InferenceRequest, group: ModelGroup, counter: Counter) -> RouteRequest:
    """`route` with what was counted, by each vocabulary that the group's deployments read by."""
    models: dict[str, str] = {}
    for tier in group.tiers:
        for deployment in tier:
            if deployment.encoding:
                models.setdefault(deployment.encoding, deployment.base_model or deployment.model)
    counts = {}
    for encoding, model in models.items():
        tokens = await counter.count(request.raw, request.kind, encoding, model)
        if tokens is not None:
            counts[encoding] = tokens
    if not counts:
        return route
    expected = Estimate(max(counts.values()), route.estimate.output_tokens)
    return route._replace(counts=counts, estimate=expected)
