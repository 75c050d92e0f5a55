"""The schema of `routing`, and of what a model may change of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.config.fields import Amount, Count, FilledText, Name, OrNone, Positive, Seconds, Section, Share, Switch

Models = tuple[Name, ...]
Fallbacks = dict[str, Models]


class CooldownSettings(Section):
    """When a failing deployment is left alone, and for how long."""

    allowed_fails: Positive = 3
    """Connection failures in a row that open the breaker."""
    error_rate: Share = 0.5
    """Share of failed requests, 0 to 1, that opens it too."""
    min_requests: Positive = 10
    """Requests within `window` below which the rate says nothing."""
    window: Seconds = 30.0
    """Seconds over which the rate is taken."""
    base: Seconds = 5.0
    """Seconds of the first rest; doubles with each one that follows."""
    max: Seconds = 300.0
    """Longest rest, in seconds."""


class AdaptiveSettings(Section):
    """How much each part of the score counts for strategy `adaptive`; 0 leaves it out."""

    load: Amount = 1.0
    """How much longer the wait there makes it; for whole replies, tokens under way."""
    latency: Amount = 1.0
    """Seconds to the first token, or for the whole reply, of one that nobody waits for."""
    headroom: Amount = 0.05
    """What is left of the limits. More of it spares quotas, and leaves more of them unused."""
    cost: Amount = 0.0
    """What the request should cost; above the others, it decides."""


class RetryBudgetSettings(Section):
    """How many retries a model may have, so that an outage is not multiplied. Fallbacks are free, and so is a retry on
    another deployment that has served requests of late."""

    ratio: Share = 0.2
    """Retries as a share, 0 to 1, of the last 10 seconds' requests."""
    min_per_second: Amount = 3.0
    """Retries per second besides, of all replicas together."""


class QueueSettings(Section):
    """Waiting for a deployment to become free."""

    max_waiting: Count = 0
    """Requests that may wait; 0: none."""
    timeout: Seconds = 10.0
    """Longest wait, in seconds."""


class HedgingSettings(Section):
    """A second attempt for streams that are slow to begin, at another deployment; the first token decides. What the
    slower one charges is on top."""

    enabled: Switch = False
    """Whether to hedge at all."""
    quantile: Share = 0.95
    """Of the model's times to first token, after which the second attempt starts."""
    max_ratio: Share = 0.05
    """Share of streams, 0 to 1, that may be sent twice."""


class ErrorPatternSettings(Section):
    """Parts of upstream's error texts, besides those known already, that mean more than their status (400, 413 or 422).
    Capitals do not matter."""

    context_window: tuple[FilledText, ...] = ()
    """The prompt is too long for the model."""
    content_policy: tuple[FilledText, ...] = ()
    """The prompt was refused for what it says."""


class RoutingSettings(Section):
    """How a deployment is chosen and what happens when it fails. `models` may change it for one model."""

    strategy: Name = "least-busy"
    """How one of several deployments is picked."""
    num_retries: Count = 2
    """Attempts after the first one, within a model's own deployments."""
    max_attempts: Positive = 6
    """All attempts of one request together, fallbacks included."""
    timeout: Seconds = 600.0
    """Seconds for a whole request, all attempts together; clients may ask for less."""
    attempt_timeout: Seconds = 300.0
    """Seconds for one attempt."""
    connect_timeout: Seconds = 5.0
    """Seconds to connect, TLS included."""
    first_token_timeout: Seconds = 60.0
    """Streams: seconds to the first event."""
    stream_idle_timeout: Seconds = 60.0
    """Streams: longest silence, in seconds, after the first event."""
    fallbacks: Fallbacks = Field(default_factory=dict)
    """By model: the models to try, in order, once its own deployments have failed. Not transitive."""
    context_window_fallbacks: Fallbacks = Field(default_factory=dict)
    """By model: the models for prompts too long for it."""
    content_policy_fallbacks: Fallbacks = Field(default_factory=dict)
    """By model: the models for prompts it refuses."""
    default_fallbacks: Models = ()
    """For every model that has no entry in `fallbacks`."""
    cooldown: CooldownSettings = CooldownSettings()
    """The circuit breaker of each deployment."""
    adaptive: AdaptiveSettings = AdaptiveSettings()
    """The weights of strategy `adaptive`."""
    retry_budget: RetryBudgetSettings = RetryBudgetSettings()
    """Bounds retries of a model as a whole."""
    queue: QueueSettings = QueueSettings()
    """Waiting in place of a 429."""
    hedging: HedgingSettings = HedgingSettings()
    """A second attempt for slow streams."""
    drop_params: Switch = False
    """Leave out what a provider cannot express, in place of a 400."""
    error_patterns: ErrorPatternSettings = ErrorPatternSettings()
    """More texts that tell failures apart."""


class ModelSettings(Section):
    """What is different for one model. What is left out, or null, is as `routing` has it."""

    aliases: tuple[Name, ...] = ()
    """Other names that clients may ask for."""
    strategy: Annotated[Name | None, OrNone] = None
    """See `routing.strategy`."""
    num_retries: Annotated[Count | None, OrNone] = None
    """See `routing.num_retries`."""
    max_attempts: Annotated[Positive | None, OrNone] = None
    """See `routing.max_attempts`."""
    timeout: Annotated[Seconds | None, OrNone] = None
    """Seconds for a whole request."""
    attempt_timeout: Annotated[Seconds | None, OrNone] = None
    """Seconds for one attempt."""
    connect_timeout: Annotated[Seconds | None, OrNone] = None
    """Seconds to connect."""
    first_token_timeout: Annotated[Seconds | None, OrNone] = None
    """Streams: seconds to the first event."""
    stream_idle_timeout: Annotated[Seconds | None, OrNone] = None
    """Streams: longest silence, in seconds."""
    fallbacks: Models | None = None
    """The models to try, in order, once its own deployments have failed; []: none."""
    context_window_fallbacks: Models | None = None
    """The models for prompts too long for it."""
    content_policy_fallbacks: Models | None = None
    """The models for prompts it refuses."""
    cooldown: CooldownSettings | None = None
    """Only what is given here differs from `routing.cooldown`."""
    adaptive: AdaptiveSettings | None = None
    """Only what is given here differs from `routing.adaptive`."""
    retry_budget: RetryBudgetSettings | None = None
    """Only what is given here differs from `routing.retry_budget`."""
    queue: QueueSettings | None = None
    """See `routing.queue`."""
    hedging: HedgingSettings | None = None
    """Only what is given here differs from `routing.hedging`."""
    drop_params: Annotated[Switch | None, OrNone] = None
    """See `routing.drop_params`."""
    error_patterns: ErrorPatternSettings | None = None
    """More texts, besides those of `routing.error_patterns`."""
