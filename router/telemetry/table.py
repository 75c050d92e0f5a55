"""Every metric there is: its name, type, unit, labels and meaning. The cells and `docs/metrics.md` are made from this.

Label values come from the configuration and from closed sets only: what clients or upstreams send never becomes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Type = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "max", "min"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0)
"""For whole requests, which may take as long as `routing.timeout`."""
ATTEMPT_SECONDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)
"""Few, since there is a row of them for every deployment."""
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
OWN_SECONDS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
"""For what the router does itself."""
LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
TOKENS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One metric. `name` is as Prometheus shows it, but for what a histogram appends; `unit` is empty for plain counts.

    `bounds`: a histogram's buckets, ascending, +Inf implied. `merge`: what the values of several workers make together.
    """

    name: str
    type: Type
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    merge: Merge = "sum"


def _counter(name: str, help: str, *labels: str, unit: str = "") -> Row:
    return Row(name, "counter", unit, help, labels)


def _gauge(name: str, help: str, *labels: str, unit: str = "", merge: Merge = "sum") -> Row:
    return Row(name, "gauge", unit, help, labels, (), merge)


def _seconds(name: str, help: str, *labels: str, bounds: tuple[float, ...]) -> Row:
    return Row(name, "histogram", "seconds", help, labels, bounds)


_OPERATION = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
_PLACE = ("model", "deployment")

TABLE: Mapping[str, Sequence[Row]] = MappingProxyType({
    "Requests": (
        _counter("router_requests_total", "Requests, by how they were answered; outcome is ok, error, client_gone or "
                 "broken.", "model", "kind", "status", "outcome"),
        _seconds("gen_ai_server_request_duration_seconds", "Time from a request's first byte to its last.",
                 *_OPERATION, bounds=SECONDS),
        _seconds("gen_ai_server_time_to_first_token_seconds", "Streams: time from sending to the first token.",
                 *_OPERATION, bounds=SECONDS),
        _seconds("gen_ai_server_time_per_output_token_seconds",
                 "Streams: time between two tokens after the first, a mean of each stream.",
                 *_OPERATION, bounds=TOKEN_SECONDS),
        Row("gen_ai_client_token_usage", "histogram", "tokens", "Tokens of a request, as upstream reported them.",
            (*_OPERATION, "gen_ai_token_type"), TOKENS),
        _gauge("router_in_flight_requests", "Requests under way.", unit="requests"),
        _seconds("router_overhead_seconds", "Time of a request that was spent waiting for nobody: not for upstream, "
                 "for a slot or for the client's body.", "model", bounds=OWN_SECONDS),
        _seconds("router_selection_seconds", "Time to choose a deployment and take its lease, of each attempt.",
                 "model", bounds=OWN_SECONDS),
        _counter("router_fallbacks_total", "Requests that another model group took over; kind is general, "
                 "context_window or content_policy.", "model", "to", "kind"),
    ),
    "Tokens and cost": (
        _counter("router_tokens_total", "Tokens; type is input or output, or the part of them that is cached, "
                 "cache_write, input_audio, reasoning or output_audio.",
                 *_PLACE, "type", unit="tokens"),
        _counter("router_usage_estimated_total", "Requests whose tokens and cost are estimates, upstream having told "
                 "no usage.", *_PLACE),
        _counter("router_cost_usd_total", "Cost of requests with a known price.", *_PLACE, unit="US dollars"),
        _counter("router_cost_unknown_total", "Requests served whose cost is unknown, for want of a price.", *_PLACE),
        _counter("router_key_requests_total", "Requests of a client's key, by outcome.", "key", "team", "outcome"),
        _counter("router_key_tokens_total", "Tokens of a client's key; type is input or output.",
                 "key", "team", "type", unit="tokens"),
        _counter("router_key_cost_usd_total", "Cost of a client's key, where the price is known.",
                 "key", "team", unit="US dollars"),
    ),
    "Deployments": (
        _counter("router_attempts_total", "Attempts sent to deployments; outcome is ok, client_gone, outrun (by a "
                 "copy of the request) or the kind of failure.", *_PLACE, "outcome"),
        _seconds("router_attempt_duration_seconds", "Time of an attempt, from sending to the last byte.",
                 *_PLACE, bounds=ATTEMPT_SECONDS),
        _counter("router_candidates_rejected_total", "Deployments passed over by a filter, by its reason.",
                 "model", "reason"),
        _counter("router_retries_denied_total", "Retries not made, the model's retry budget being spent.", "model"),
        _counter("router_hedges_total", "Streams sent a second time for being slow to begin; outcome is won (by the "
                 "copy), lost, failed or client_gone.", "model", "outcome"),
        _counter("router_probes_total", "Health checks; outcome is ok or the kind of failure.",
                 "deployment", "outcome"),
        _counter("router_cooldowns_total", "Times a deployment, or a key of it, was left alone.",
                 "deployment", "reason"),
        _counter("router_recoveries_total", "Times a deployment got traffic again after a trial.", "deployment"),
        _gauge("router_deployment_info", "Always 1: who provides a deployment.", *_PLACE, "provider", merge="max"),
        _gauge("router_deployment_in_flight", "Attempts under way.", *_PLACE, unit="requests"),
        _gauge("router_deployment_breaker_state", "0: closed, 1: half-open, 2: open.", *_PLACE, merge="max"),
        _gauge("router_deployment_cooldown_seconds", "Time until an open breaker lets a trial through.",
               *_PLACE, unit="seconds", merge="max"),
        _gauge("router_deployment_keys_resting", "API keys that rest after a 429 or a refusal, or are being tried.",
               *_PLACE, unit="keys", merge="max"),
        _gauge("router_deployment_headroom_ratio", "Share of its limits that is free, 0 to 1; missing without limits.",
               *_PLACE, merge="min"),
    ),
    "Shared state": (
        _gauge("router_state_degraded", "1 while replicas cannot be heard: limits are kept by equal parts.",
               merge="max"),
        _gauge("router_state_replicas", "Replicas that share the picture, the most of the last minute.",
               unit="replicas", merge="max"),
        _counter("router_state_strict_total", "Requests with a strict limit; outcome is admitted, refused, or, where "
                 "Redis did not answer in time, open, refused_late or closed.", "outcome"),
        _counter("router_state_failures_total", "Exchanges with the other replicas that failed.", "reason"),
    ),
    "Queue": (
        _gauge("router_queue_waiting", "Requests that wait for a slot of a model that somebody has queued for.",
               "model", unit="requests"),
        _counter("router_queue_left_total", "Requests that have left a model's queue; outcome is served, timeout, "
                 "full, refused or client_gone.", "model", "outcome"),
        _seconds("router_queue_wait_seconds", "Time in a model's queue.", "model", bounds=SECONDS),
    ),
    "Connections to upstreams": (
        _gauge("router_upstream_connections", "Connections; state is idle, busy or opening.", "state",
               unit="connections"),
        _gauge("router_upstream_waiting", "Attempts that wait for a connection.", unit="attempts"),
        _counter("router_upstream_opened_total", "Connections opened."),
        _counter("router_upstream_not_opened_total", "Connections that could not be opened, time-outs and "
                 "cancellations included."),
        _counter("router_upstream_reused_total", "Attempts that found an idle connection."),
        _counter("router_upstream_replaced_total", "Idle connections that turned out to be closed, and were replaced."),
        _counter("router_upstream_waited_total", "Attempts for which there was no room at first."),
        _counter("router_upstream_closed_total", "Connections closed, by reason.", "reason"),
        _counter("router_upstream_refused_replies_total", "Replies refused for their form, by reason.", "reason"),
    ),
    "Signing in": (
        _gauge("router_entra_token_seconds", "Time until the first of the Entra ID tokens ends; 0: one is missing.",
               unit="seconds", merge="min"),
        _counter("router_entra_failures_total", "Sign-ins with Entra ID that failed."),
    ),
    "Chat templates": (
        _counter("router_template_renderings_total", "Renderings of the operator's chat templates; outcome is ok, "
                 "refused (by the template), failed, slow (ended at the limit of time) or busy (no process was free).",
                 "outcome"),
    ),
    "The process": (
        _seconds("router_event_loop_lag_seconds", "How much later than asked for the event loop got to a timer.",
                 bounds=LAG_SECONDS),
        _counter("router_config_reloads_total", "Times the configuration was read anew; outcome is success or failure.",
                 "outcome"),
        _gauge("router_config_last_reload_successful", "1 while the configuration in force is that of the last attempt "
               "to read it, 0 where that was refused.", merge="min"),
        _gauge("router_config_last_reload_success_timestamp_seconds", "When the configuration in force was read, "
               "since 1970.", unit="seconds", merge="min"),
        _gauge("router_workers", "Workers that serve; missing where one process does everything.", unit="processes"),
        _counter("router_worker_restarts_total", "Workers started anew after they had ended by themselves."),
        _gauge("router_draining", "1 while the router is leaving.", merge="max"),
        _gauge("router_build_info", "Always 1.", "version", merge="max"),
        _counter("router_access_log_dropped_lines_total", "Access log lines dropped, the queue being full or the file "
                 "not writable."),
        _counter("router_traces_total", "Requests whose spans were sent to the collector, or dropped; nothing without "
                 "tracing.", "outcome"),
        _counter("router_log_dropped_lines_total", "Lines of the router's own log dropped."),
        _counter("process_cpu_seconds_total", "Processor time, user and system.", unit="seconds"),
        _gauge("process_resident_memory_bytes", "Resident memory.", unit="bytes"),
        _gauge("process_virtual_memory_bytes", "Virtual memory.", unit="bytes"),
        _gauge("process_start_time_seconds", "When the process was started, since 1970.", unit="seconds", merge="min"),
        _gauge("process_open_fds", "Open files and sockets.", unit="files", merge="max"),
        _gauge("process_max_fds", "Most of them that may be open.", unit="files", merge="min"),
    ),
})  # fmt: skip
"""By the section of the page they stand in."""

ROWS: Mapping[str, Row] = MappingProxyType({row.name: row for rows in TABLE.values() for row in rows})
"""The same by name."""
