"""Cells looked up once: what requests that have their labels in common are counted in."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from router.core.events import Attempted, Finished
from router.core.types import Usage
from router.telemetry.cells import Cell, Family
from router.telemetry.table import TOKENS

Families = Callable[[str], Family]
"""The cells of a metric, by its name in the table."""

_OPERATIONS = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings"}
NOBODY = "none"
"""The provider of a request that no deployment was asked to serve."""


class Served:
    """Requests of one kind for one model that one deployment has answered, or none. What not every request has is bound
    when the first one has it, so that what is unknown is not shown as nothing."""

    __slots__ = ("_families", "_operation", "_place", "cost", "duration", "ok", "overhead", "stream", "tokens")

    def __init__(self, families: Families, event: Finished) -> None:
        self._families = families
        self._operation = (_OPERATIONS.get(event.kind, event.kind), event.provider or NOBODY, event.model)
        self._place = (event.served_by, event.deployment)
        self.ok = families("router_requests_total").cell((event.model, event.kind, "200", "ok"))
        self.duration = families("gen_ai_server_request_duration_seconds").cell(self._operation)
        self.overhead = families("router_overhead_seconds").cell((event.model,))
        self.stream: Stream | None = None
        self.tokens: Tokens | None = None
        self.cost: Cell | None = None

    def streams(self) -> Stream:
        self.stream = Stream(self._families, self._operation)
        return self.stream

    def counts_tokens(self) -> Tokens:
        self.tokens = Tokens(self._families, self._operation, self._place)
        return self.tokens

    def costs(self) -> Cell:
        self.cost = self._families("router_cost_usd_total").cell(self._place)
        return self.cost


class Stream:
    """The two times of streams."""

    __slots__ = ("first_token", "per_token")

    def __init__(self, families: Families, operation: tuple[str, ...]) -> None:
        self.first_token = families("gen_ai_server_time_to_first_token_seconds").cell(operation)
        self.per_token = families("gen_ai_server_time_per_output_token_seconds").cell(operation)


class Tokens:
    """Tokens by request and in all."""

    __slots__ = ("_input", "_input_sizes", "_output", "_output_sizes")

    def __init__(self, families: Families, operation: tuple[str, ...], place: tuple[str, ...]) -> None:
        sizes, total = families("gen_ai_client_token_usage"), families("router_tokens_total")
        self._input_sizes = sizes.cell((*operation, "input"))
        self._output_sizes = sizes.cell((*operation, "output"))
        self._input = total.cell((*place, "input"))
        self._output = total.cell((*place, "output"))

    def count(self, prompt: int, completion: int) -> None:
        self._input[0] += prompt
        self._output[0] += completion
        cell = self._input_sizes
        cell[bisect_left(TOKENS, prompt)] += 1.0
        cell[-1] += prompt
        cell = self._output_sizes
        cell[bisect_left(TOKENS, completion)] += 1.0
        cell[-1] += completion


class Client:
    """Requests of one client's key."""

    __slots__ = ("_cost", "_families", "_input", "_ok", "_output", "_who")

    def __init__(self, families: Families, key: str, team: str) -> None:
        self._families = families
        self._who = (key, team)
        self._ok = families("router_key_requests_total").cell((key, team, "ok"))
        self._input = families("router_key_tokens_total").cell((key, team, "input"))
        self._output = families("router_key_tokens_total").cell((key, team, "output"))
        self._cost: Cell | None = None

    def count(self, outcome: str, usage: Usage | None, cost: float | None) -> None:
        if outcome == "ok":
            self._ok[0] += 1.0
        else:
            self._families("router_key_requests_total").add((*self._who, outcome))
        if usage is not None:
            self._input[0] += usage.prompt_tokens
            self._output[0] += usage.completion_tokens
        if cost is not None:
            if self._cost is None:
                self._cost = self._families("router_key_cost_usd_total").cell(self._who)
            self._cost[0] += cost


class Tried:
    """Attempts at one deployment."""

    __slots__ = ("duration", "ok", "selection")

    def __init__(self, families: Families, event: Attempted) -> None:
        place = (event.group, event.deployment)
        self.ok = families("router_attempts_total").cell((*place, "ok"))
        self.duration = families("router_attempt_duration_seconds").cell(place)
        self.selection = families("router_selection_seconds").cell((event.group,))
