"""What the dashboard shows: rows of panels, each with its question, its unit and the queries that answer it.

In queries, `$S` stands for the selector of all variables, `$R` for the range of a rate.
"""

from __future__ import annotations

from typing import NamedTuple


class Panel(NamedTuple):
    """`queries` are pairs of a PromQL expression and a legend. `kind` is Grafana's panel type, `width` of 24
    columns."""

    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{$S{more}}}[$R]))"


def _quantile(q: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{$S}}[$R])))"


_ERRORS = 'outcome=~"error|broken", status=~"5..|200"'
_MODEL = "gen_ai_request_model"
_PLACE = "model, deployment"

OVERVIEW = (
    Panel("Requests", "Requests finished a second, over all models.", "reqps",
          (("sum(rate(router_requests_total{$S}[$R]))", "requests"),), "stat", 4),
    Panel("Errors", "Share of requests that failed through no fault of the client's: 5xx and broken streams.",
          "percentunit",
          ((f"sum(rate(router_requests_total{{$S, {_ERRORS}}}[$R])) / sum(rate(router_requests_total{{$S}}[$R])) "
            "or vector(0)", "errors"),), "stat", 4),
    Panel("First token, p95", "Streams: 95 of 100 get their first token within this time.", "s",
          ((_quantile(0.95, "gen_ai_server_time_to_first_token_seconds"), "p95"),), "stat", 4),
    Panel("Under way", "Requests that are being served now.", "short",
          (("sum(router_in_flight_requests{$S})", "in flight"),), "stat", 4),
    Panel("Breakers open", "Deployments that get no traffic because they failed.", "short",
          (("count(max by (deployment) (router_deployment_breaker_state{$S}) > 0) or vector(0)", "open"),), "stat", 4),
    Panel("Cost per hour", "US dollars an hour at the present pace, for requests whose price is known.", "currencyUSD",
          (("sum(rate(router_cost_usd_total{$S}[$R])) * 3600", "USD/h"),), "stat", 4),
)  # fmt: skip

MODELS = (
    Panel("Rate by model", "Requests finished a second, by the model that was asked for.", "reqps",
          ((_rate("router_requests_total", "model"), "{{model}}"),), stacked=True),
    Panel("Errors by model", "Share of a model's requests that ended in a 5xx or a broken stream.", "percentunit",
          ((f"{_rate('router_requests_total', 'model', f', {_ERRORS}')} / on (model) "
            f"{_rate('router_requests_total', 'model')}", "{{model}}"),)),
    Panel("Answers by status", "Requests finished a second, by status. 499: the client hung up.", "reqps",
          ((_rate("router_requests_total", "status, outcome"), "{{status}} {{outcome}}"),), stacked=True),
    Panel("Duration by model", "From a request's first byte to its last.", "s",
          ((_quantile(0.5, "gen_ai_server_request_duration_seconds", _MODEL), f"{{{{{_MODEL}}}}} p50"),
           (_quantile(0.95, "gen_ai_server_request_duration_seconds", _MODEL), f"{{{{{_MODEL}}}}} p95"))),
    Panel("Time to first token by model", "Streams: from sending to upstream to the first token.", "s",
          ((_quantile(0.5, "gen_ai_server_time_to_first_token_seconds", _MODEL), f"{{{{{_MODEL}}}}} p50"),
           (_quantile(0.95, "gen_ai_server_time_to_first_token_seconds", _MODEL), f"{{{{{_MODEL}}}}} p95"))),
    Panel("Time per output token by model", "Streams: between two tokens after the first.", "s",
          ((_quantile(0.5, "gen_ai_server_time_per_output_token_seconds", _MODEL), f"{{{{{_MODEL}}}}} p50"),
           (_quantile(0.95, "gen_ai_server_time_per_output_token_seconds", _MODEL), f"{{{{{_MODEL}}}}} p95"))),
    Panel("Fallbacks", "Requests a second that another model group took over, and why.", "reqps",
          ((_rate("router_fallbacks_total", "model, to, kind"), "{{model}} to {{to}}, {{kind}}"),)),
    Panel("Waiting for a slot", "Requests in the queue of a model whose deployments are all at their limit.", "short",
          (("sum by (model) (router_queue_waiting{$S})", "{{model}}"),)),
    Panel("Time in the queue, p95", "Of those that have left it, served or not.", "s",
          ((_quantile(0.95, "router_queue_wait_seconds", "model"), "{{model}}"),)),
    Panel("Left the queue", "Requests a second that left a queue, by how.", "reqps",
          ((_rate("router_queue_left_total", "model, outcome"), "{{model}} {{outcome}}"),)),
)  # fmt: skip

DEPLOYMENTS = (
    Panel("Attempts by deployment", "Attempts ended a second. Compare with weights and limits.", "reqps",
          ((_rate("router_attempts_total", _PLACE), "{{deployment}}"),), stacked=True),
    Panel("Failed attempts by deployment", "Attempts a second that failed, by kind of failure. Most of them clients "
          "never saw.", "reqps",
          ((_rate("router_attempts_total", "deployment, outcome", ', outcome!~"ok|client_gone"'),
            "{{deployment}} {{outcome}}"),)),
    Panel("Attempt duration, p95", "From sending to the last byte, failed attempts included.", "s",
          ((_quantile(0.95, "router_attempt_duration_seconds", _PLACE), "{{deployment}}"),)),
    Panel("Breakers", "0 closed, 1 half-open, 2 open.", "short",
          ((f"max by ({_PLACE}) (router_deployment_breaker_state{{$S}})", "{{deployment}}"),)),
    Panel("Cooldowns", "Times a minute that a deployment, or one of its keys, was left alone, and why.", "short",
          ((f"{_rate('router_cooldowns_total', 'deployment, reason')} * 60", "{{deployment}} {{reason}}"),)),
    Panel("Time left to cool", "Until an open breaker lets a trial through.", "s",
          ((f"max by ({_PLACE}) (router_deployment_cooldown_seconds{{$S}})", "{{deployment}}"),)),
    Panel("Headroom", "Share of a deployment's limits that is free. Only for those with limits, their own or "
          "upstream's.", "percentunit",
          ((f"min by ({_PLACE}) (router_deployment_headroom_ratio{{$S}})", "{{deployment}}"),)),
    Panel("In flight by deployment", "Attempts under way.", "short",
          ((f"sum by ({_PLACE}) (router_deployment_in_flight{{$S}})", "{{deployment}}"),), stacked=True),
    Panel("Retries denied", "Retries a second that were not made, the model's retry budget being spent.", "cps",
          ((_rate("router_retries_denied_total", "model"), "{{model}}"),)),
    Panel("Hedges", "Streams a second that were sent a second time for being slow to begin, by what came of it.", "cps",
          ((f"{_rate('router_hedges_total', 'model, outcome')} or vector(0)", "{{model}} {{outcome}}"),)),
    Panel("Health checks", "Active ones a second, by outcome.", "cps",
          ((f"{_rate('router_probes_total', 'deployment, outcome')} or vector(0)", "{{deployment}} {{outcome}}"),)),
    Panel("Passed over", "Times a second that a filter passed over a deployment, by its reason.", "cps",
          ((_rate("router_candidates_rejected_total", "model, reason"), "{{model}} {{reason}}"),)),
    Panel("Keys at rest", "API keys resting after a 429 or a refusal.", "short",
          ((f"max by ({_PLACE}) (router_deployment_keys_resting{{$S}})", "{{deployment}}"),)),
    Panel("Recoveries", "Times a minute that a deployment got traffic again after a trial.", "short",
          ((f"{_rate('router_recoveries_total', 'deployment')} * 60", "{{deployment}}"),)),
    Panel("What is configured", "Every deployment, and who provides it.", "short",
          ((f"max by ({_PLACE}, provider) (router_deployment_info{{$S}})", ""),), "table"),
)  # fmt: skip

MONEY = (
    Panel("Tokens by model", "Tokens a second as upstream reported them, prompt and output.", "short",
          ((_rate("router_tokens_total", "model, type"), "{{model}} {{type}}"),), stacked=True),
    Panel("Cost by model", "US dollars an hour, for deployments whose price is known.", "currencyUSD",
          ((f"{_rate('router_cost_usd_total', 'model')} * 3600", "{{model}}"),), stacked=True),
    Panel("Tokens of a request, p95", "Prompt and output tokens of one request.", "short",
          ((_quantile(0.95, "gen_ai_client_token_usage", f"{_MODEL}, gen_ai_token_type"),
            f"{{{{{_MODEL}}}}} {{{{gen_ai_token_type}}}}"),)),
    Panel("Tokens by key", "Tokens a second by the client's key and its team.", "short",
          ((_rate("router_key_tokens_total", "key, team"), "{{key}} {{team}}"),), stacked=True),
    Panel("Cost by key and team", "US dollars an hour by the client's key and its team.", "currencyUSD",
          ((f"{_rate('router_key_cost_usd_total', 'key, team')} * 3600", "{{key}} {{team}}"),), stacked=True),
    Panel("Cost that is not known, or estimated", "Requests a second that are missing from the cost for want of a "
          "price, and those whose tokens upstream did not tell.", "reqps",
          ((f"{_rate('router_cost_unknown_total', 'model')} or vector(0)", "{{model}} unknown"),
           (f"{_rate('router_usage_estimated_total', 'model')} or vector(0)", "{{model}} estimated"))),
    Panel("Requests by key", "Requests finished a second by the client's key, and how.", "reqps",
          ((_rate("router_key_requests_total", "key, team, outcome"), "{{key}} {{team}} {{outcome}}"),)),
)  # fmt: skip

ROUTER = (
    Panel("The router's own time", "What a request spends in the router while waiting for nobody: reading, choosing, "
          "writing.", "s",
          ((_quantile(0.5, "router_overhead_seconds"), "p50"), (_quantile(0.99, "router_overhead_seconds"), "p99"))),
    Panel("Choosing a deployment", "From the plan to the lease, of each attempt.", "s",
          ((_quantile(0.5, "router_selection_seconds"), "p50"), (_quantile(0.99, "router_selection_seconds"), "p99"))),
    Panel("Event loop lag", "How late timers come. All requests of a process share this delay.", "s",
          ((_quantile(0.5, "router_event_loop_lag_seconds", "instance"), "{{instance}} p50"),
           (_quantile(0.99, "router_event_loop_lag_seconds", "instance"), "{{instance}} p99"))),
    Panel("Processor", "Cores in use by a router. One worker cannot use more than one.", "short",
          ((_rate("process_cpu_seconds_total", "instance"), "{{instance}}"),)),
    Panel("Memory", "Resident memory.", "bytes",
          (("sum by (instance) (process_resident_memory_bytes{$S})", "{{instance}}"),)),
    Panel("Files and sockets", "Open ones, and how many may be. A request holds two.", "short",
          (("sum by (instance) (process_open_fds{$S})", "{{instance}} open"),
           ("min by (instance) (process_max_fds{$S})", "{{instance}} limit"))),
    Panel("Connections to upstreams", "Kept-alive and busy ones, and attempts that wait for one.", "short",
          (("sum by (state) (router_upstream_connections{$S})", "{{state}}"),
           ("sum(router_upstream_waiting{$S})", "waiting"))),
    Panel("Connections opened and reused", "A second. Many opened and few reused: upstream closes them, or TLS is paid "
          "for every request.", "cps",
          (("sum(rate(router_upstream_opened_total{$S}[$R]))", "opened"),
           ("sum(rate(router_upstream_reused_total{$S}[$R]))", "reused"),
           ("sum(rate(router_upstream_replaced_total{$S}[$R]))", "replaced"),
           ("sum(rate(router_upstream_waited_total{$S}[$R]))", "had to wait"),
           ("sum(rate(router_upstream_not_opened_total{$S}[$R]))", "not opened"))),
    Panel("Connections closed", "A second, by reason; and replies refused for their form.", "cps",
          ((_rate("router_upstream_closed_total", "reason"), "{{reason}}"),
           ("sum(rate(router_upstream_refused_replies_total{$S}[$R]))", "reply refused"))),
    Panel("Lines dropped", "Log lines a second that could not be written, and traces that the collector did not take.",
          "cps",
          (("sum(rate(router_access_log_dropped_lines_total{$S}[$R])) or vector(0)", "access log"),
           ("sum(rate(router_log_dropped_lines_total{$S}[$R]))", "own log"),
           ('sum(rate(router_traces_total{$S, outcome="dropped"}[$R])) or vector(0)', "traces"))),
    Panel("Versions", "How many routers run which version.", "short",
          (("count by (version) (router_build_info{$S})", "{{version}}"),)),
    Panel("Reloads", "Times a minute that the configuration was read anew, by outcome; and whether the one in force "
          "is the file's, 1 or 0.", "short",
          ((f"{_rate('router_config_reloads_total', 'outcome')} * 60 or vector(0)", "{{outcome}}"),
           ("min(router_config_last_reload_successful{$S})", "in force"))),
    Panel("Chat templates", "Renderings of the configuration's chat templates a second, by how they ended.", "cps",
          ((f"{_rate('router_template_renderings_total', 'outcome')} or vector(0)", "{{outcome}}"),)),
    Panel("Entra ID tokens", "Until the first of them ends, and sign-ins a second that failed. 0 without Entra ID.",
          "s",
          (("min(router_entra_token_seconds{$S}) or vector(0)", "left"),
           ("sum(rate(router_entra_failures_total{$S}[$R])) or vector(0)", "failures"))),
    Panel("Workers", "Those that serve, and times a minute that one was started anew. 0 where one process does all.",
          "short", (("sum(router_workers{$S}) or vector(0)", "workers"),
                    ("sum(rate(router_worker_restarts_total{$S}[$R])) * 60 or vector(0)", "restarts"))),
    Panel("Leaving", "Routers that drain.", "short", (("sum(router_draining{$S})", "draining"),)),
)  # fmt: skip

SHARED = (
    Panel("Shared state", "1 where a router cannot hear the other replicas, and keeps limits by equal parts. 0 without "
          "Redis.", "short", (("max by (instance) (router_state_degraded{$S})", "{{instance}}"),)),
    Panel("Replicas", "How many share the picture, as each of them sees it.", "short",
          (("max by (instance) (router_state_replicas{$S})", "{{instance}}"),)),
    Panel("Exchanges that failed", "Exchanges with Redis a second that failed, and why. None without Redis.", "cps",
          ((f"{_rate('router_state_failures_total', 'reason')} or vector(0)", "{{reason}}"),)),
)  # fmt: skip

ROWS = (
    ("Overview", OVERVIEW),
    ("Models: rate, errors, duration", MODELS),
    ("Deployments", DEPLOYMENTS),
    ("Tokens and cost", MONEY),
    ("The router", ROUTER),
    ("What replicas share", SHARED),
)
