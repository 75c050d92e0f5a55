"""The nouns of routing: deployments, model groups, requests and usage. Frozen values, made at load or per request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from router.core.budget import Budget as Budget
from router.core.encodings import encoding_of
from router.core.grants import Grants
from router.core.hashing import hash_of
from router.core.prices import UNKNOWN
from router.core.prices import Prices as Prices
from router.core.prices import Usage as Usage
from router.core.prompts import PromptTemplate

Kind = Literal["chat", "completion", "embedding"]
"""What a client asks for: chat completions, legacy text completions or embeddings."""

KINDS: tuple[Kind, ...] = ("chat", "completion", "embedding")

PROMPTED = "+prompt"
"""Behind a provider's name: the dialect that serves chat by its text completions."""


class Estimate(NamedTuple):
    """Tokens a request is expected to take, before anyone has counted them."""

    prompt_tokens: int
    output_tokens: int

    @property
    def total(self) -> int:
        return self.prompt_tokens + self.output_tokens


class TLS(NamedTuple):
    """How to verify, and identify to, one `https` upstream. None means the system's own. Paths name PEM files."""

    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    server_name: str | None = None


NO_TLS = TLS()


@dataclass(frozen=True, slots=True)
class Strict:
    """Which limits on minutes are asked for on every request; `closed`: refused where nobody can be asked."""

    rpm: bool = False
    tpm: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be used in any minute, and at once. None is unlimited; `strict` None: none of them is strict."""

    rpm: int | None = None
    tpm: int | None = None
    max_parallel_requests: int | None = None
    strict: Strict | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class LimitSubject:
    """Whose limits they are. What is used is counted by `name`: a backend's, or `key:` and a client key's."""

    name: str
    limits: Limits
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What to GET on a deployment's host, every so many seconds."""

    path: str
    interval: float = 30.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """One place a model is served: where it is, how to sign in, what it costs and how much of the traffic it should
    get.

    `weight` is relative within its tier, `priority` the tier (lower first), `context_window` and `max_output_tokens`
    are in tokens; `base_model` is what price lists and tokenizers call the model, `model` where it is empty; `tags` are
    what requests may ask for. `options` holds settings only the deployment's provider knows. `transient`: it is made
    for one request, and nothing about it is to be kept; `guard`: its client has named the host, within these grants.

    `template`, where there is one, makes it serve chat requests by text completions. `drop_params` leaves out what its
    dialect cannot express; `max_tokens_name` is what it calls the longest reply, None: as the client does.
    """

    id: str
    model_name: str
    provider: str
    model: str
    api_base: str = ""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    mode: Kind | None = None
    weight: float = 1.0
    priority: int = 0
    prices: Prices = UNKNOWN
    context_window: int | None = None
    max_output_tokens: int | None = None
    base_model: str = ""
    transient: bool = False
    guard: Grants | None = field(default=None, repr=False)
    encoding: str = field(default="", init=False, repr=False, compare=False)
    """OpenAI's vocabulary that its prompts can be counted by exactly; empty: by none."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: TLS = NO_TLS
    tags: frozenset[str] = frozenset()
    enabled: bool = True
    options: Any = None
    backend: str = ""
    """Whose load and health this is: the same for every name and position one upstream is listed under."""
    place: int = field(default=0, init=False, repr=False, compare=False)
    """64 bits made from `backend`, the same in every process: where it stands among hashes."""
    rpm: int | None = None
    tpm: int | None = None
    max_parallel_requests: int | None = None
    strict: Strict | None = None
    template: PromptTemplate | None = None
    drop_params: bool = False
    max_tokens_name: str | None = None
    health_check: HealthCheck | None = None
    dialect: str = field(default="", init=False, repr=False, compare=False)
    """Which dialect speaks to it: the provider's, or the one around it that makes prompts."""
    limits: Limits | None = field(default=None, init=False, repr=False, compare=False)
    """What of these is given, None without any: the deployment's own, but used up by all that its backend serves."""

    def __post_init__(self) -> None:
        if not self.backend:
            object.__setattr__(self, "backend", backend_of(self))
        object.__setattr__(self, "place", hash_of(self.backend))
        object.__setattr__(self, "encoding", encoding_of(self.provider, self.base_model or self.model))
        object.__setattr__(self, "dialect", self.provider if self.template is None else self.provider + PROMPTED)
        limits = Limits(self.rpm, self.tpm, self.max_parallel_requests, self.strict)
        if limits != NO_LIMITS:
            object.__setattr__(self, "limits", limits)

    def __hash__(self) -> int:
        return hash((self.id, self.model))  # out of one wildcard come many models under one id


def backend_of(deployment: Deployment) -> str:
    """Hash of (provider, api_base, upstream model, account): what load and health are keyed by, 16 hex digits."""
    account = hashlib.sha256("\0".join(sorted(deployment.api_keys)).encode()).hexdigest()
    own = deployment.id if deployment.provider == "mock" and not deployment.api_base else ""
    parts = (deployment.provider, deployment.api_base, deployment.model, account, own)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class CooldownPolicy:
    """When a deployment is left alone: `base`, `max` and `window` in seconds, `error_rate` a share of 1."""

    allowed_fails: int = 3
    error_rate: float = 0.5
    min_requests: int = 10
    window: float = 30.0
    base: float = 5.0
    max: float = 300.0


@dataclass(frozen=True, slots=True)
class AdaptiveWeights:
    """How much each part of the `adaptive` score counts: exponents, 0 leaves it out."""

    load: float = 1.0
    latency: float = 1.0
    headroom: float = 0.05
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class RetryBudgetPolicy:
    """How many retries a model group may have: a share of its requests, and so many a second besides."""

    ratio: float = 0.2
    min_per_second: float = 3.0


@dataclass(frozen=True, slots=True)
class HedgingPolicy:
    """After which quantile of a group's times to first token a stream is sent a second time, and which share of the
    streams may be."""

    quantile: float = 0.95
    max_ratio: float = 0.05


@dataclass(frozen=True, slots=True)
class ErrorPatterns:
    """Texts of upstream errors, in lower case, that tell more than their status does."""

    context_window: tuple[str, ...] = ()
    content_policy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """How many requests of a model group may wait for a slot instead of a 429, and for how many seconds."""

    max_waiting: int
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """How one model group is routed. Times in seconds."""

    strategy: str = "least-busy"
    num_retries: int = 2
    max_attempts: int = 6
    timeout: float = 600.0
    attempt_timeout: float = 300.0
    connect_timeout: float = 5.0
    first_token_timeout: float = 60.0
    stream_idle_timeout: float = 60.0
    fallbacks: tuple[str, ...] = ()
    context_window_fallbacks: tuple[str, ...] = ()
    content_policy_fallbacks: tuple[str, ...] = ()
    cooldown: CooldownPolicy = CooldownPolicy()
    adaptive: AdaptiveWeights = AdaptiveWeights()
    retry_budget: RetryBudgetPolicy = RetryBudgetPolicy()
    queue: QueuePolicy | None = None
    hedging: HedgingPolicy | None = None
    error_patterns: ErrorPatterns | None = None


@dataclass(frozen=True, slots=True)
class ModelGroup:
    """The deployments that serve one public model name, by tier: all of a tier are tried before the next."""

    name: str
    tiers: tuple[tuple[Deployment, ...], ...]
    policy: RoutingPolicy = RoutingPolicy()
    window: int | None = field(default=None, init=False, repr=False, compare=False)
    """The largest context window in it; None where one is unknown."""
    counted: int | None = field(default=None, init=False, repr=False, compare=False)
    """The smallest of those whose prompts can be counted exactly; None without any."""

    def __post_init__(self) -> None:
        members = [deployment for tier in self.tiers for deployment in tier]
        windows = [deployment.context_window for deployment in members]
        exact = [each.context_window for each in members if each.encoding and each.context_window is not None]
        object.__setattr__(self, "window", None if None in windows else max(filter(None, windows), default=None))
        object.__setattr__(self, "counted", min(exact, default=None))

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. `models` are patterns (`gpt-4o`, `claude-*`); empty allows every model.

    `priority` is the place in a queue, lower first; `subject` the limits, None without any; `team` whose key it is,
    empty where that was not said; `grants` what its requests may set of a deployment, None: nothing.
    """

    name: str
    models: tuple[str, ...] = ()
    admin: bool = False
    priority: int = 0
    subject: LimitSubject | None = None
    team: str = ""
    grants: Grants | None = None


class Tags(NamedTuple):
    """What a request wants of a deployment's tags: all of the one kind, none of the other."""

    wanted: frozenset[str]
    unwanted: frozenset[str] = frozenset()


class RouteRequest(NamedTuple):
    """What routing knows of one request. `deadline` is in the clock's seconds, `max_output` the most output tokens it
    allows; None where it does not say. `key` names the client's key, and `priority` is its place in a queue. `affinity`
    gives what requests that belong together have in common, and is called only where somebody wants to know.
    `hurried`: the client set a shorter deadline than the model has. `payer` is whose budget pays, None without one;
    `prices` are the client's own, which go before those of the deployment as far as they are known. `size` is more
    tokens than prompt and wanted output can come to, None where who knows; `counts` are exact prompt tokens, by the
    vocabulary they were counted by."""

    kind: Kind
    model: str
    stream: bool
    estimate: Estimate
    deadline: float
    num_retries: int | None = None
    fallbacks: tuple[str, ...] | None = None
    context_window_fallbacks: tuple[str, ...] | None = None
    max_output: int | None = None
    key: str = ""
    priority: int = 0
    tags: Tags | None = None
    affinity: Callable[[], str] | None = None
    hurried: bool = False
    payer: LimitSubject | None = None
    prices: Prices | None = None
    size: int | None = None
    counts: Mapping[str, int] | None = None
