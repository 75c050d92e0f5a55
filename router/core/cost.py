"""What a request is expected to cost, before it is sent."""

from __future__ import annotations

from typing import NamedTuple

from router.core.load import Candidate, Snapshot
from router.core.types import Prices, RouteRequest


class Expectation(NamedTuple):
    """Tokens to expect of one request. `cached` are those of the prompt that upstream should have in its cache, which
    is worth something only where that has a price of its own."""

    prompt: float
    cached: float
    output: float

    def cost(self, prices: Prices) -> float | None:
        """US dollars; None where a needed price is unknown. 0.0 is a real price."""
        if prices.above:
            prices = prices.at(self.prompt)
        if prices.input is None or (prices.output is None and self.output):
            return None
        cached = prices.input if prices.cached_input is None else prices.cached_input
        return (self.prompt - self.cached) * prices.input + self.cached * cached + self.output * (prices.output or 0.0)


def expectation(request: RouteRequest, view: Snapshot, model_name: str) -> Expectation:
    prompt = float(view.prompt_tokens(request, model_name))
    usual = view.cached.get(model_name)
    cached = 0.0 if usual is None or usual.value is None else prompt * usual.value
    output = 0.0 if request.kind == "embedding" else view.expected_output(request, model_name)
    return Expectation(prompt, cached, output)


def expected_cost(request: RouteRequest, candidate: Candidate, view: Snapshot) -> float | None:
    """US dollars that `candidate` should charge for `request`; None where a needed price is unknown."""
    deployment = candidate.deployment
    prices = deployment.prices if request.prices is None else deployment.prices.replaced_by(request.prices)
    return expectation(request, view, deployment.model_name).cost(prices)
