"""The schema of `router.yaml`: the whole file, and the sections on serving, keys and shared state.

The docstrings below settings are what editors show. Routing is in `schema_routing`, deployments in `schema_deployment`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from router.config.fields import (
    Amount,
    Day,
    FilledSecret,
    FilledText,
    Name,
    OrNone,
    Period,
    Port,
    Positive,
    Seconds,
    SecondsOrZero,
    Secret,
    Section,
    Switch,
    Tier,
    Workers,
    without_nulls,
)
from router.config.schema_deployment import DeploymentSettings, Limit
from router.config.schema_routing import ModelSettings, RoutingSettings
from router.config.schema_telemetry import TelemetrySettings
from router.config.schema_templates import ChatTemplateSettings
from router.core.grants import OVERRIDABLE, parse_host


def _overridable(name: str) -> str:
    if name not in OVERRIDABLE:
        raise ValueError(f"is nothing that a request could set; known are {', '.join(sorted(OVERRIDABLE))}")
    return name


def _host(text: str) -> str:
    parse_host(text)
    return text


class ServerSettings(Section):
    """Where the router listens, and its limits towards clients."""

    host: FilledText = "127.0.0.1"
    """Address or name to listen on. Without `auth.keys` only a loopback address is allowed."""
    port: Port = 4000
    """TCP port; 0 lets the system choose one."""
    workers: Workers = 1
    """Processes that serve, each on a core of its own; 1: one process and no other."""
    admin_port: Annotated[Port | None, OrNone] = None
    """A port of its own for health, metrics and status; null: they share `port`."""
    max_body_bytes: Positive = 33_554_432
    """Largest request body, in bytes. Larger ones get a 413."""
    max_concurrent_requests: Positive = 10_000
    """Requests served at once. Those beyond get a 503 at once."""
    body_timeout: Seconds = 60.0
    """Seconds for a client to send its whole request body."""
    drain_delay: SecondsOrZero = 5.0
    """Seconds between the signal to stop and refusing new connections, for load balancers to notice."""
    drain_seconds: SecondsOrZero = 300.0
    """Seconds that running requests may take to finish after that."""
    sse_keepalive: SecondsOrZero = 15.0
    """Seconds of silence in a stream after which a comment line is sent; 0: never."""
    fast_path: Switch = True
    """Serve the inference routes by the short way through the server. false: everything by aiohttp's own."""
    access_log: Annotated[FilledText | None, OrNone] = "-"
    """Where one line per request goes: `-` is standard output, else a file; null: nowhere."""


class KeySettings(Section):
    """A client's key."""

    name: Name
    """What logs and metrics call it."""
    key: FilledSecret
    """The key itself, as clients send it: `Authorization: Bearer …`."""
    models: tuple[Name, ...] = ()
    """What it may use: model names, aliases or patterns such as `claude-*`. Empty: everything."""
    expires: Day | None = None
    """The last day it is valid (UTC), such as 2027-06-30; null: for ever."""
    team: Annotated[Name | None, OrNone] = None
    """Whose it is."""
    rpm: Annotated[Limit | None, OrNone] = None
    """Requests per minute."""
    tpm: Annotated[Limit | None, OrNone] = None
    """Tokens per minute."""
    max_parallel_requests: Annotated[Positive | None, OrNone] = None
    """Requests at once."""
    max_budget: Annotated[Amount | None, OrNone] = None
    """US dollars per `budget_period`, by the prices of the deployments; left out: no budget."""
    budget_period: Annotated[Period | None, OrNone] = None
    """Such as 1h, 1d, 7d or 30d (units s, m, h, d and w), counted from 1970 on in UTC; null: there is but one."""
    priority: Tier = 0
    """Its place when requests queue; lower first."""
    allow: tuple[Annotated[Name, AfterValidator(_overridable)], ...] = ()
    """Which of a deployment's settings its requests may set: api_base, api_key, api_version, model_list, headers,
    extra_headers, input_cost_per_token, output_cost_per_token."""
    allowed_hosts: tuple[Annotated[Name, AfterValidator(_host)], ...] = ()
    """Hosts, as `host` (on the scheme's own port) or `host:port`, that its requests may name as `api_base`. Addresses
    that are not public are reached only where an entry is that very address."""


class AuthSettings(Section):
    """Who may use the router."""

    master_key: Secret = SecretStr("")
    """Opens everything, the administration too. Empty: there is none."""
    keys: tuple[KeySettings, ...] = ()
    """None: open to everyone, and then the router listens on loopback only."""

    _empty = model_validator(mode="before")(without_nulls)


class StateSettings(Section):
    """What replicas share."""

    redis_url: Secret = SecretStr("")
    """`redis://`, `rediss://`, `redis+sentinel://` or `redis+cluster://`, see docs/redis.md. Empty: each replica for
    itself."""
    namespace: Name = "router"
    """What every key in Redis begins with: replicas of one namespace share one picture."""
    sync_interval: Seconds = 0.1
    """Seconds between two exchanges with Redis: how old the news of other replicas may be."""


class Settings(Section):
    """`router.yaml`, after the environment has had its say (`ROUTER__SERVER__PORT=4001`).

    `${NAME}`, `${NAME:-default}` and `${file:/run/secrets/x}` are expanded in any string.
    """

    server: ServerSettings = ServerSettings()
    """Where the router listens, and its limits towards clients."""
    auth: AuthSettings = AuthSettings()
    """Who may use it."""
    state: StateSettings = StateSettings()
    """What replicas share."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """What the router tells of itself."""
    routing: RoutingSettings = RoutingSettings()
    """How a deployment is chosen and what happens when it fails."""
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    """By model name: what is different from `routing`."""
    chat_templates: dict[Name, ChatTemplateSettings] = Field(default_factory=dict)
    """By the name that `hf_model_name` gives: templates of your own."""
    model_list: tuple[DeploymentSettings, ...] = ()
    """The deployments."""

    _empty = model_validator(mode="before")(without_nulls)
