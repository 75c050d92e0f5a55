"""The schema of one entry of `model_list`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue

from router.config.fields import (
    Amount,
    Count,
    FilledSecret,
    FilledText,
    Name,
    OrNone,
    Positive,
    Seconds,
    SecondsOrZero,
    Section,
    Share,
    Switch,
    Text,
    Tier,
    Weight,
)
from router.config.schema_templates import AwsSettings, RoleSettings
from router.config.upstream_fields import check_api_base, check_headers
from router.core.types import Kind, Strict
from router.dialects.mock.behaviour import check_step


def check_tag(tag: str) -> str:
    if tag.startswith("!") or "," in tag:
        raise ValueError("must not begin with ! nor hold a comma, or no request could name it")
    return tag


def _int_or_mapping(schema: JsonSchemaValue) -> None:
    mapping = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "integer", "minimum": 1}, mapping]


class Limit(Section, json_schema_extra=_int_or_mapping):
    """A number per minute, or `{limit, strict}`."""

    limit: Positive
    """Per minute."""
    strict: Switch = False
    """Ask Redis on every request, for the few limits that must be exact. Without Redis it changes nothing."""
    unavailable: Literal["open", "closed"] = "open"
    """Where `strict` and Redis does not answer within 20 ms. `open`: no more than this replica's part of what is known
    to be left; `closed`: 503."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"limit": value}


def strict_of(rpm: Limit | None, tpm: Limit | None) -> Strict | None:
    """What two limits have of strictness; None where neither is strict."""
    strict = [limit for limit in (rpm, tpm) if limit is not None and limit.strict]
    closed = any(limit.unavailable == "closed" for limit in strict)
    return Strict(rpm is not None and rpm.strict, tpm is not None and tpm.strict, closed) if strict else None


class TLSSettings(Section):
    """How to verify, and identify to, an `https` upstream."""

    ca_file: Annotated[FilledText | None, OrNone] = None
    """PEM file of the authorities to trust; null: the system's own."""
    client_cert: Annotated[FilledText | None, OrNone] = None
    """PEM file of the certificate to show."""
    client_key: Annotated[FilledText | None, OrNone] = None
    """PEM file of that certificate's key; null: it is in `client_cert`."""
    server_name: Annotated[Name | None, OrNone] = None
    """The name to expect in upstream's certificate; null: the host in `api_base`."""


class HealthCheckSettings(Section):
    """Active probes: failures in a row (`cooldown.allowed_fails`) open the breaker, and a good answer closes what they
    or refused connections had opened."""

    path: Annotated[Text, Field(pattern=r"^/[!-~]*$")]
    """What to GET on upstream's host; any 2xx is well. No key goes along, and `headers` only below `api_base`."""
    interval: Seconds = 30.0
    """Seconds between two probes."""


class EntraSettings(Section):
    """An identity in Entra ID. With a secret: that application's; without: the machine's own (workload or managed
    identity, the environment, the Azure command line). Needs the extra `azure`."""

    tenant_id: Annotated[FilledText | None, OrNone] = None
    """The tenant."""
    client_id: Annotated[FilledText | None, OrNone] = None
    """The application, or the managed identity where there are several."""
    client_secret: FilledSecret | None = None
    """The application's secret."""
    authority: Annotated[str, Field(strict=True, pattern=r"^https://[!-~]+$")] | None = None
    """Where to sign in, for clouds of one's own; left out: Azure's."""
    scope: FilledText = "https://cognitiveservices.azure.com/.default"
    """What the token is for."""


Version = Annotated[str, Field(strict=True, pattern=r"^(v1|preview|latest|\d{4}-\d\d-\d\d(-preview)?)$")]


class MockSettings(Section):
    """How a deployment of provider `mock` behaves."""

    time_to_first_token: SecondsOrZero = 0.0
    """Seconds before the reply begins."""
    tokens_per_second: Amount = 0.0
    """Speed of the reply; 0: as fast as possible."""
    output_tokens: Count = 0
    """Length of the reply in words; 0: as long as its text."""
    script: tuple[str, ...] = ()
    """What happens to one request after the other, over and over: `ok`, an HTTP status such as 503, `hang`, `stall`,
    `reset`, `truncate`, `garbage`, `empty`, `error`, `late-error`, `429-bare`, `429-quota`, `400-context`, `400-policy`
    or `400-filter`."""
    failure_rate: Share = 0.0
    """Share of requests, 0 to 1, that fail in place of being `ok`."""
    failure: str = "503"
    """How those fail; any step of a script."""
    retry_after: Annotated[SecondsOrZero | None, OrNone] = None
    """Seconds named in 429s and 5xx; null: 1 in 429s, none in 5xx."""
    rate_limit_headers: Switch = False
    """Send `x-ratelimit-*` headers."""
    reply: Text = ""
    """What it says; empty: something of its own."""
    healthy: Switch = True
    """What `/health` says."""

    @field_validator("script", mode="before")
    @classmethod
    def _steps(cls, value: Any) -> Any:
        return [_step(step) for step in value] if isinstance(value, list) else value

    @field_validator("failure", mode="before")
    @classmethod
    def _failure(cls, value: Any) -> Any:
        return _step(value)


def _step(value: Any) -> Any:
    """YAML reads 503 as a number; a step is text."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return value
    step = str(value)
    try:
        check_step(step)
    except ValueError as error:
        # Without the value itself, as it may have been filled in.
        raise ValueError("unknown step; known are " + str(error).partition("known are ")[2]) from None
    return step


class DeploymentSettings(Section):
    """One place where a model is served."""

    model_name: Name
    """What clients ask for; those of one name share its requests. May be a pattern with one `*`, such as `openai/*`."""
    id: Annotated[Name | None, OrNone] = None
    """What logs, metrics and headers call it; unique. Left out: made from `model_name` and `provider`."""
    provider: Name
    """Whose wire format it speaks. `openai` is right for every server that speaks OpenAI's."""
    model: Annotated[Name | None, OrNone] = None
    """What upstream calls the model; left out: `model_name`. A `*` stands for what the one in `model_name` matched."""
    base_model: Annotated[Name | None, OrNone] = None
    """What price lists and tokenizers call the model, where `model` is a name of one's own; left out: `model`."""
    mode: Kind | None = None
    """The only kind of request it serves; null: any. `completion` serves chats, too, by a prompt template."""
    api_base: Annotated[str, Field(strict=True), AfterValidator(check_api_base)] | None = None
    """Where it is: `https://host[:port][/path]`, up to and with `/v1`."""
    api_key: FilledSecret | None = None
    """The key to send, as a bearer."""
    api_keys: tuple[FilledSecret, ...] = ()
    """Several keys in its place, used in turn; one that is refused or limited rests."""
    api_version: Annotated[Version | None, OrNone] = None
    """Azure: a date such as 2024-10-21 for the path with the deployment in it; left out, v1, preview or latest for the
    newer /openai/v1."""
    entra: EntraSettings | None = None
    """Azure: sign in with Entra ID in place of a key. {}: as whoever this machine is."""
    weight: Weight = 1.0
    """Its share of the traffic, relative to the others of its tier. With strategy `weighted`, where no weight of a tier
    is given but every `rpm`: that."""
    priority: Tier = 0
    """Its tier; lower ones are used first, higher ones once no deployment of a lower one is fit to serve."""
    rpm: Annotated[Limit | None, OrNone] = None
    """Requests per minute."""
    tpm: Annotated[Limit | None, OrNone] = None
    """Tokens per minute."""
    max_parallel_requests: Annotated[Positive | None, OrNone] = None
    """Requests at once."""
    input_cost_per_token: Annotated[Amount | None, OrNone] = None
    """US dollars per prompt token; 0 is a real price. With neither this nor `output_cost_per_token`: as in the price
    table, where that knows the provider and the model, else unknown."""
    output_cost_per_token: Annotated[Amount | None, OrNone] = None
    """US dollars per completion token; left out: unknown."""
    cached_input_cost_per_token: Annotated[Amount | None, OrNone] = None
    """US dollars per prompt token that upstream had in its cache; left out: as other prompt tokens."""
    cache_write_cost_per_token: Annotated[Amount | None, OrNone] = None
    """US dollars per prompt token that upstream put into its cache; left out: as other prompt tokens."""
    input_audio_cost_per_token: Annotated[Amount | None, OrNone] = None
    """US dollars per prompt token that is sound; left out: as other prompt tokens."""
    output_audio_cost_per_token: Annotated[Amount | None, OrNone] = None
    """US dollars per completion token that is sound; left out: as other completion tokens."""
    reasoning_cost_per_token: Annotated[Amount | None, OrNone] = None
    """US dollars per completion token of reasoning; left out: as other completion tokens."""
    context_window: Annotated[Positive | None, OrNone] = None
    """Tokens of prompt and output together; left out: as in the price table, where that knows the model."""
    max_output_tokens: Annotated[Positive | None, OrNone] = None
    """Most tokens of one reply."""
    tags: tuple[Annotated[Name, AfterValidator(check_tag)], ...] = ()
    """Requests that name tags go to deployments that have all of them; those that name `!tag`, to ones without it."""
    headers: Annotated[dict[str, SecretStr], AfterValidator(check_headers)] = Field(default_factory=dict)
    """Sent with every request to it."""
    tls: TLSSettings = TLSSettings()
    """Files and name for its TLS connections."""
    drop_params: Annotated[Switch | None, OrNone] = None
    """Leave out what its provider cannot express, in place of a 400; null: as `routing.drop_params` says."""
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] | None = None
    """What it calls the longest reply; null: as the client does, but OpenAI's reasoning models by the second name."""
    initial_prompt_value: Text | None = None
    """With mode `completion`, chats are sent as one text: what that begins with."""
    roles: dict[Name, RoleSettings] | None = None
    """What stands around the messages of each role in it."""
    final_prompt_value: Text | None = None
    """What it ends with."""
    bos_token: Text | None = None
    """The token that begins a text."""
    eos_token: Text | None = None
    """The token that ends one, after each of the assistant's messages."""
    hf_model_name: Annotated[Name | None, OrNone] = None
    """In place of the texts above: a template of `chat_templates`, a family (llama-3), or the name of a model of it."""
    aws: AwsSettings | None = None
    """Where an endpoint of provider `sagemaker` is, and who signs."""
    health_check: HealthCheckSettings | None = None
    """Active probes; left out: none."""
    mock: MockSettings | None = None
    """How the built-in mock provider behaves."""
    enabled: Switch = True
    """false: listed, but never used."""
