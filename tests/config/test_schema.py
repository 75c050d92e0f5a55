from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from router.config import Settings, schema_text
from router.config.names import FALLBACK_KINDS
from router.config.schema_deployment import MockSettings
from router.config.schema_routing import CooldownSettings, ModelSettings, RoutingSettings
from router.core.types import CooldownPolicy, Limits, RoutingPolicy, Strict
from router.dialects.mock.behaviour import Behaviour
from tests.config.loading import MODELS, loaded, problems


def deployment_problem(setting: str, provider: str = "mock") -> str:
    """What is said about one setting of one deployment, without the place."""
    base = ", api_base: https://host/v1" if provider == "openai" and "api_base" not in setting else ""
    told = problems(f"model_list:\n  - {{model_name: m, provider: {provider}{base}, {setting}}}\n")
    assert len(told) == 1, told
    return told[0].partition("model_list.0.")[2]


def test_the_defaults_are_those_of_the_core() -> None:
    for settings, policy in ((RoutingSettings(), RoutingPolicy()), (CooldownSettings(), CooldownPolicy())):
        shared = {field.name for field in dataclasses.fields(policy)} & set(type(settings).model_fields)
        assert len(shared) >= 6
        told_otherwise = {"cooldown", "queue", "adaptive", "retry_budget", "hedging", "error_patterns", *FALLBACK_KINDS}
        for name in shared - told_otherwise:
            assert getattr(settings, name) == getattr(policy, name)


def test_the_mocks_settings_are_its_behaviour() -> None:
    assert list(MockSettings.model_fields) == [field.name for field in dataclasses.fields(Behaviour)]
    assert Behaviour(**MockSettings().model_dump()) == Behaviour()


def test_a_model_may_override_everything_that_routing_has() -> None:
    own = set(ModelSettings.model_fields)
    assert set(RoutingSettings.model_fields) - own == {"default_fallbacks"}
    assert own - set(RoutingSettings.model_fields) == {"aliases"}
    assert set(ModelSettings().model_dump(exclude={"aliases"}).values()) == {None}


def test_settings_are_frozen() -> None:
    settings = loaded(MODELS).settings
    with pytest.raises(ValidationError):
        settings.server.port = 1


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("rmp: 1", "rmp: unknown key (did you mean rpm?)"),
        ("API-Key: x", "API-Key: unknown key (did you mean api_key?)"),
        ("weight: 0", "weight: must be more than 0"),
        ("weight: -1", "weight: must be more than 0"),
        ("weight: true", "weight: expected a number, not true or false"),
        ("weight: '2'", "weight: expected a number, not text"),
        ("weight: null", "weight: expected a number, not null"),
        ("weight: .nan", "weight: expected a number, not text"),
        ("weight: 1e400", "weight: must be a finite number"),
        ("priority: 1.5", "priority: expected a whole number, not a number with a fraction"),
        ("context_window: 0", "context_window: must be 1 or more"),
        ("input_cost_per_token: -1", "input_cost_per_token: must be 0 or more"),
        ("enabled: 1", "enabled: expected true or false, not a number"),
        ("enabled: maybe", "enabled: expected true or false, not text"),
        ("id: 5", "id: expected text, not a number; put it in quotes"),
        ("id: true", "id: expected text, not true or false; put it in quotes"),
        ("id: ' a'", "id: must be 1 to 256 characters of printable ASCII, without a space at either end"),
        ("id: modèle", "id: must be 1 to 256 characters of printable ASCII, without a space at either end"),
        ("id: ''", "id: must be 1 to 256 characters of printable ASCII, without a space at either end"),
        ("id: [a]", "id: expected text, not a list"),
        ("mode: image", "mode: expected one of 'chat', 'completion', 'embedding'"),
        ("tls: x", "tls: expected a mapping, not text"),
        ("tls: {ca_fil: x}", "tls.ca_fil: unknown key (did you mean ca_file?)"),
        ("headers: [a]", "headers: expected a mapping, not a list"),
        ("headers: {x-a: 1}", "headers.x-a: expected text, not a number; put it in quotes"),
        ("api_keys: x", "api_keys: expected a list, not text"),
        ("api_keys: [a, '']", "api_keys.1: is empty"),
        ("api_key: ''", "api_key: is empty"),
        ("api_key: 5", "api_key: expected text, not a number; put it in quotes"),
        ("mock: {script: [ok, 200]}", "mock.script: unknown step; known are an HTTP status from 400 to 599 and ok"),
        ("mock: {script: [true]}", "mock.script.0: expected text, not true or false; put it in quotes"),
        ("mock: {script: ok}", "mock.script: expected a list, not text"),
        ("mock: {failure: never}", "mock.failure: unknown step; known are an HTTP status from 400 to 599 and ok"),
        ("mock: {failure_rate: 1.5}", "mock.failure_rate: must be 1 or less"),
        ("mock: {time_to_first_token: -1}", "mock.time_to_first_token: must be 0 or more"),
        ("health_check: {interval: 5}", "health_check.path: is missing"),
        ("health_check: {path: health}", "health_check.path: must begin with / and hold no spaces"),
        ("rpm: {strict: true}", "rpm.limit: is missing"),
        ("rpm: 0", "rpm.limit: must be 1 or more"),
        ("rpm: fast", "rpm.limit: expected a whole number, not text"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_in_the_users_words(setting: str, problem: str) -> None:
    assert deployment_problem(setting).startswith(problem)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("server: {port: 65536}", "1:16: server.port: must be 65535 or less"),
        ("server: {port: -1}", "1:16: server.port: must be 0 or more"),
        ("server: {host: ''}", "1:16: server.host: is empty"),
        ("server: {body_timeout: 0}", "1:24: server.body_timeout: must be more than 0"),
        ("server: []", "1:9: server: expected a mapping, not a list"),
        ("sever: {}", "1:1: sever: unknown key (did you mean server?)"),
        ("routing: {timeout: 0}", "1:20: routing.timeout: must be more than 0"),
        ("routing: {max_attempts: 0}", "1:25: routing.max_attempts: must be 1 or more"),
        ("routing: {cooldown: {error_rate: 2}}", "1:34: routing.cooldown.error_rate: must be 1 or less"),
        ("routing: {fallbacks: [a]}", "1:22: routing.fallbacks: expected a mapping, not a list"),
        ("routing: {fallbacks: {small: large}}", "1:30: routing.fallbacks.small: expected a list, not text"),
        (
            "routing: {fallbacks: {small: [1]}}",
            "1:31: routing.fallbacks.small.0: expected text, not a number; put it in quotes",
        ),
        ("auth: {keys: [a]}", "1:15: auth.keys.0: expected a mapping, not text"),
        ("auth: {keys: [{name: a}]}", "1:15: auth.keys.0.key: is missing"),
        ("auth: {keys: [{key: a}]}", "1:15: auth.keys.0.name: is missing"),
        ("auth: {keys: [{name: a, key: ''}]}", "1:30: auth.keys.0.key: is empty"),
        (
            'auth: {keys: [{name: a, key: "a\\nb"}]}',
            "1:30: auth.keys.0.key: holds a line break or another control character",
        ),
        (
            "auth: {keys: [{name: a, key: '𝔸'}]}",
            "1:30: auth.keys.0.key: holds a character that HTTP headers cannot carry (only Latin-1 can)",
        ),
        ("auth: {keys: [{name: a, key: 'b '}]}", "1:30: auth.keys.0.key: begins or ends with a space"),
        (
            "auth: {keys: [{name: a, key: b, expires: soon}]}",
            "1:42: auth.keys.0.expires: expected a date such as 2027-06-30",
        ),
        (
            "auth: {keys: [{name: a, key: b, expires: 2027-02-30}]}",
            "1:42: auth.keys.0.expires: expected a date such as 2027-06-30",
        ),
    ],
)
def test_every_section_is_strict(setting: str, problem: str) -> None:
    assert problems(f"{setting}\n{MODELS}") == [f"router.yaml:{problem}"]


def test_a_setting_near_to_none_is_told_what_there_is() -> None:
    assert deployment_problem("tls: {zzz: 1}").endswith("known are ca_file, client_cert, client_key, server_name")


def test_numbers_and_switches_may_be_filled_in() -> None:
    text = """\
server: {port: "${PORT}", admin_port: "${NONE:-}", fast_path: "${FAST:-no}", drain_delay: "${DELAY}"}
model_list: [{model_name: m, provider: mock, weight: "${WEIGHT}", context_window: "${NONE:-}", enabled: yes}]
"""
    config = loaded(text, {"PORT": " 4001 ", "DELAY": "1e-1", "WEIGHT": "2.5"})
    server, deployment = config.settings.server, config.settings.model_list[0]
    assert (server.port, server.admin_port, server.fast_path, server.drain_delay) == (4001, None, False, 0.1)
    assert (deployment.weight, deployment.context_window, deployment.enabled) == (2.5, None, True)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://host", "https://host"),
        ("http://host:8000/v1", "http://host:8000/v1"),
        ("HTTPS://Host.Example:8443/Path/v1/", "https://host.example:8443/Path/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://10.0.0.1/", "http://10.0.0.1"),
        ("https://my_host-1.internal./v1", "https://my_host-1.internal./v1"),
    ],
)
def test_an_api_base_has_one_spelling(given: str, kept: str) -> None:
    text = f"model_list: [{{model_name: m, provider: openai, api_base: '{given}'}}]"
    assert loaded(text).catalogue.groups["m"].tiers[0][0].api_base == kept


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("''", "holds a space or another character that no address has"),
        ("host/v1", "must begin with http:// or https:// and a host"),
        ("ftp://host", "must begin with http:// or https:// and a host"),
        ("'https://'", "must begin with http:// or https:// and a host"),
        ("https://user@host", "must hold no user or password; the key goes into api_key"),
        ("https://u:p@host", "must hold no user or password; the key goes into api_key"),
        ("https://host?a=b", "must hold no query and no fragment (? or #)"),
        ("'https://host#a'", "must hold no query and no fragment (? or #)"),
        ("'https://host/?'", "must hold no query and no fragment (? or #)"),
        ("https://host:0", "has no valid host and port"),
        ("'https://host:'", "has no valid host and port"),
        ("https://host:70000", "is no valid address; it looks like https://host[:port][/path]"),
        ("https://host:port", "is no valid address; it looks like https://host[:port][/path]"),
        ("'https://[::1'", "is no valid address; it looks like https://host[:port][/path]"),
        ("'https://[::g]'", "i"),
        ("'https://a..b'", "has no valid host and port"),
        ("'https://-a'", "has no valid host and port"),
        ("'https://a\\b'", "has no valid host and port"),
        ('"https://ho\\tst"', "holds a space or another character that no address has"),
        ('"https://host/v1\\n"', "holds a space or another character that no address has"),
        ("https://höst", "holds a space or another character that no address has"),
        ("https://host/v1/chat/completions", "must end before /chat/completions"),
        (f"https://{'a' * 300}", "has no valid host and port"),
        ("5", "expected text, not a number; put it in quotes"),
    ],
)
def test_an_api_base_is_an_address_and_nothing_else(given: str, problem: str) -> None:
    assert deployment_problem(f"api_base: {given}", "openai").startswith(f"api_base: {problem}")


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ("Host: x", "host is set by the router itself"),
        ("Authorization: x", "authorization is set by the router itself; the key goes into api_key"),
        ("content-length: '5'", "content-length is set by the router itself"),
        ("Transfer-Encoding: chunked", "transfer-encoding is set by the router itself"),
        ("connection: close", "connection is set by the router itself"),
        ("X-A: a, x-a: b", "x-a is given twice"),
        ("'x a': b", "a header's name holds a character that HTTP does not allow there"),
        ("'': b", "a header's name holds a character that HTTP does not allow there"),
        ('"x\\r": b', "a header's name holds a character that HTTP does not allow there"),
        ('x-a: "b\\r\\nc: d"', "the value of x-a holds a line break or another control character"),
        ('x-a: "\\0"', "the value of x-a holds a line break or another control character"),
        ("x-a: '𝔸'", "the value of x-a holds a character that HTTP headers cannot carry (only Latin-1 can)"),
        ("x-a: ' b'", "the value of x-a begins or ends with a space"),
    ],
)
def test_headers_cannot_break_out_nor_replace_the_routers_own(headers: str, problem: str) -> None:
    assert deployment_problem(f"headers: {{{headers}}}") == f"headers: {problem}"


def test_the_json_schema_describes_every_setting_and_refuses_unknown_keys() -> None:
    schema = json.loads(schema_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    sections = [schema, *schema["$defs"].values()]
    mappings = [section for section in sections if "properties" in section]
    mappings += [part for section in sections for part in section.get("anyOf", []) if "properties" in part]
    assert len(mappings) >= 15
    for section in mappings:
        assert section["additionalProperties"] is False
        for name, setting in section["properties"].items():
            assert "description" in setting or "$ref" in setting, name  # a section describes itself
    assert set(schema["properties"]) == set(Settings.model_fields)


def test_the_json_schema_allows_numbers_to_be_filled_in() -> None:
    server = json.loads(schema_text())["$defs"]["ServerSettings"]["properties"]
    assert server["port"]["default"] == 4000
    assert server["port"]["anyOf"] == [
        {"type": "integer", "minimum": 0, "maximum": 65535},
        {"type": "string", "pattern": r"\$\{"},
    ]


def test_the_json_schema_holds_no_machines_paths() -> None:
    assert str(Path.cwd()) not in schema_text()


def any_of(schema: dict[str, Any]) -> list[Any]:
    return [part.get("type") for part in schema["anyOf"]]


def test_a_limit_is_a_number_or_a_mapping() -> None:
    limit = json.loads(schema_text())["$defs"]["Limit"]
    assert any_of(limit) == [None, "object"]
    text = "model_list: [{model_name: m, provider: mock, rpm: {limit: 5, strict: true, unavailable: closed}, tpm: 7}]"
    [deployment] = loaded(text).catalogue.groups["m"].tiers[0]
    assert deployment.limits == Limits(5, 7, None, Strict(rpm=True, closed=True))
