"""The metrics: one table of names, one subscriber that counts.

Label values come from the configuration and from closed sets only: what clients or upstreams send never becomes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from router.core.events import Attempted, Cooled, Event, FellBack, Finished, Queued, Recovered, Rejected, RetryDenied
from router.core.load import Candidate
from router.telemetry.cells import Counter, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)
_STATUSES = frozenset({200, 400, 401, 403, 404, 408, 413, 422, 429, 499, 500, 502, 503, 504})
_OPERATIONS = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings"}
_OPERATION = ("gen_ai_operation_name", "gen_ai_request_model")

Load = Callable[[], Iterator[Candidate]]


class Metrics:
    """An observer, and a collector of `prometheus_client`. `load` gives every deployment with its load."""

    def __init__(self, load: Load, dropped_lines: Callable[[], int]) -> None:
        """`dropped_lines`: access log lines dropped so far."""
        self._load = load
        self._dropped_lines = dropped_lines
        self._requests = Counter(
            "router_requests", "Requests, by how they were answered.", ("model", "kind", "status", "outcome")
        )
        self._attempts = Counter(
            "router_attempts",
            "Attempts sent to deployments; outcome is ok, client_gone or the kind of failure.",
            ("model", "deployment", "outcome"),
        )
        self._failures = Counter(
            "router_attempt_failures", "Attempts that failed, by kind of failure.", ("model", "deployment", "reason")
        )
        self._rejected = Counter(
            "router_candidates_rejected", "Deployments passed over by a filter.", ("model", "reason")
        )
        self._fallbacks = Counter(
            "router_fallbacks", "Requests that another model group took over.", ("model", "to", "kind")
        )
        self._retries_denied = Counter(
            "router_retries_denied", "Retries not made, the model's retry budget being spent.", ("model",)
        )
        self._cooldowns = Counter(
            "router_cooldowns", "Times a deployment, or a key of it, was left alone.", ("deployment", "reason")
        )
        self._recoveries = Counter(
            "router_recoveries", "Times a deployment got traffic again after a trial.", ("deployment",)
        )
        self._queued = Counter(
            "router_queue_left",
            "Requests that have left the queue of a model; outcome is served, timeout, full, refused or client_gone.",
            ("model", "outcome"),
        )
        self._tokens = Counter("router_tokens", "Tokens as upstream reported them.", ("model", "deployment", "type"))
        self._cost = Counter("router_cost_usd", "Cost of requests with a known price.", ("model", "deployment"))
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from a request's first byte to its last.",
            _OPERATION,
            SECONDS,
        )
        self._first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds", "Time from sending to the first token.", _OPERATION, SECONDS
        )
        self._usage = Histogram(
            "gen_ai_client_token_usage", "Tokens per request.", (*_OPERATION, "gen_ai_token_type"), TOKENS
        )
        self._cells: tuple[Counter | Histogram, ...] = (
            self._requests, self._attempts, self._failures, self._rejected, self._fallbacks, self._retries_denied,
            self._cooldowns, self._recoveries, self._queued, self._tokens, self._cost, self._duration,
            self._first_token, self._usage,
        )  # fmt: skip
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.in_flight: Callable[[], int] = lambda: 0
        self.waiting: Callable[[], Mapping[str, int]] = dict

    def __call__(self, event: Event) -> None:
        if isinstance(event, Finished):
            self._finished(event)
        elif isinstance(event, Attempted):
            self._attempts.add((event.group, event.deployment, event.outcome))
            if event.outcome not in ("ok", "client_gone"):
                self._failures.add((event.group, event.deployment, event.outcome))
        elif isinstance(event, Rejected):
            self._rejected.add((event.group, event.reason.value))
        elif isinstance(event, FellBack):
            self._fallbacks.add((event.group, event.to, event.kind.value))
        elif isinstance(event, RetryDenied):
            self._retries_denied.add((event.group,))
        elif isinstance(event, Cooled):
            self._cooldowns.add((event.deployment, event.reason.value))
        elif isinstance(event, Recovered):
            self._recoveries.add((event.deployment,))
        elif isinstance(event, Queued):
            self._queued.add((event.group, event.outcome))

    def expose(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing to check for collisions at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        for cell in self._cells:
            yield cell.family()
        yield GaugeMetricFamily("router_in_flight_requests", "Requests under way.", value=self.in_flight())
        yield self._queues()
        yield from self._deployment_gauges()
        dropped = Counter("router_access_log_dropped_lines", "Access log lines dropped, the queue being full.", ())
        dropped.add((), self._dropped_lines())
        yield dropped.family()

    def _finished(self, event: Finished) -> None:
        status = str(event.status) if event.status in _STATUSES else f"{event.status // 100}xx"
        self._requests.add((event.model, event.kind, status, event.outcome))
        operation = (_OPERATIONS.get(event.kind, event.kind), event.model)
        self._duration.observe(operation, event.duration)
        if event.first_token is not None:
            self._first_token.observe(operation, event.first_token)
        usage = event.usage
        if usage is not None:
            self._usage.observe((*operation, "input"), usage.prompt_tokens)
            self._usage.observe((*operation, "output"), usage.completion_tokens)
            self._tokens.add((event.served_by, event.deployment, "input"), usage.prompt_tokens)
            self._tokens.add((event.served_by, event.deployment, "output"), usage.completion_tokens)
        if event.cost is not None:
            self._cost.add((event.served_by, event.deployment), event.cost)

    def _queues(self) -> Metric:
        """A model's queue is known once somebody has stood in it."""
        now = self.waiting()
        gauge = GaugeMetricFamily("router_queue_waiting", "Requests that wait for a slot.", labels=("model",))
        for model in sorted({*now, *(labels[0] for labels in self._queued.values)}):
            gauge.add_metric((model,), now.get(model, 0))
        return gauge

    def _deployment_gauges(self) -> Iterator[Metric]:
        labels = ("model", "deployment")
        in_flight = GaugeMetricFamily("router_deployment_in_flight", "Attempts under way.", labels=labels)
        closed = GaugeMetricFamily(
            "router_deployment_breaker_closed", "1 while the breaker is closed, 0 while it is open or half-open.",
            labels=labels,
        )  # fmt: skip
        for candidate in self._load():
            place = (candidate.deployment.model_name, candidate.deployment.id)
            in_flight.add_metric(place, candidate.load.in_flight)
            closed.add_metric(place, float(candidate.load.breaker.open_until is None))
        yield in_flight
        yield closed
