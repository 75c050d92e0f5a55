from __future__ import annotations

import pytest

from tests.config.loading import MODELS, loaded, problems


def test_the_environment_overrides_the_file_and_the_file_the_defaults() -> None:
    text = "server: {port: 4001, max_body_bytes: 5}\n" + MODELS
    server = loaded(text, {"ROUTER__SERVER__PORT": "4002", "ROUTER__SERVER__FAST_PATH": "off"}).settings.server
    assert (server.port, server.max_body_bytes, server.fast_path, server.body_timeout) == (4002, 5, False, 60.0)


def test_settings_three_levels_deep_can_be_set() -> None:
    env = {"ROUTER__ROUTING__COOLDOWN__BASE": "2.5", "ROUTER__ROUTING__MAX_ATTEMPTS": "3"}
    config = loaded("routing: {cooldown: {max: 9}}\n" + MODELS, env)
    policy = config.catalogue.groups["small"].policy
    assert (policy.cooldown.base, policy.cooldown.max, policy.max_attempts) == (2.5, 9.0, 3)


def test_sections_mappings_and_lists_are_given_as_json_and_mappings_are_merged() -> None:
    env = {
        "ROUTER__SERVER": '{"port": 4002, "drain_delay": "1"}',
        "ROUTER__SERVER__DRAIN_DELAY": "2",
        "ROUTER__ROUTING__FALLBACKS": '{"large": ["small"]}',
        "ROUTER__MODELS": '{"small": {"aliases": ["tiny"]}}',
        "ROUTER__AUTH__KEYS": '[{"name": "a", "key": "k"}]',
    }
    config = loaded("server: {port: 1, drain_seconds: 7}\nrouting: {fallbacks: {small: [large]}}\n" + MODELS, env)
    server = config.settings.server
    assert (server.port, server.drain_delay, server.drain_seconds) == (4002, 2.0, 7.0)
    assert config.settings.routing.fallbacks == {"small": ("large",), "large": ("small",)}
    assert config.catalogue.aliases == {"tiny": "small"}
    assert [key.name for key in config.settings.auth.keys] == ["a"]


def test_a_list_from_the_environment_replaces_the_files() -> None:
    env = {"ROUTER__MODEL_LIST": '[{"model_name": "mine", "provider": "mock", "weight": "2"}]'}
    assert list(loaded(MODELS, env).catalogue.groups) == ["mine"]


def test_strings_from_the_environment_are_expanded_too() -> None:
    config = loaded(MODELS, {"ROUTER__AUTH__MASTER_KEY": "${KEY:-none}", "KEY": "k"})
    assert config.settings.auth.master_key.get_secret_value() == "k"


def test_an_empty_variable_leaves_an_optional_setting_out() -> None:
    assert loaded(MODELS, {"ROUTER__SERVER__ACCESS_LOG": ""}).settings.server.access_log is None


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("ROUTER__SERVER__PRT", "1", "server.prt: unknown setting (did you mean port?)"),
        ("ROUTER__SEVER__PORT", "1", "sever: unknown setting (did you mean server?)"),
        (
            "ROUTER__",
            "1",
            ": unknown setting; known are server, auth, state, telemetry, routing, models, chat_templates, model_list",
        ),
        ("ROUTER__SERVER__PORT__X", "1", "server.port: has no settings below it; give all of it in one variable"),
        ("ROUTER__MODELS__SMALL", "{}", "models: has no settings below it; give all of it in one variable"),
        ("ROUTER__MODEL_LIST__0__WEIGHT", "1", "model_list: has no settings below it; give all of it in one variable"),
        ("router__server__port", "1", "is written ROUTER__SERVER__PORT"),
        ("ROUTER__SERVER", "4000", "server: expected a mapping, not a number"),
        ("ROUTER__SERVER", "{", "server: expected JSON, without duplicate keys"),
        ("ROUTER__SERVER", "", "server: expected JSON, without duplicate keys"),
        ("ROUTER__SERVER", '{"port": 1, "port": 2}', "server: expected JSON, without duplicate keys"),
        ("ROUTER__SERVER", '{"prt": 1}', "server.prt: unknown key (did you mean port?)"),
        ("ROUTER__SERVER", '{"port": true}', "server.port: expected a whole number, not true or false"),
        ("ROUTER__SERVER__PORT", "x", "server.port: expected a whole number, not text"),
        ("ROUTER__SERVER__PORT", "", "server.port: expected a whole number, not text"),
        ("ROUTER__SERVER__PORT", "70000", "server.port: must be 65535 or less"),
        ("ROUTER__SERVER__FAST_PATH", "2", "server.fast_path: expected true or false, not text"),
        (
            "ROUTER__SERVER__ADMIN_PORT",
            "2",
            "server.admin_port: a port for administration is not built yet; remove this setting",
        ),
        (
            "ROUTER__STATE__REDIS_URL",
            "redis://h/x",
            "state.redis_url: has a path that is no database's number",
        ),
        (
            "ROUTER__ROUTING__STRATEGY",
            "fastest",
            "routing.strategy: unknown strategy: (filled in, so not shown); "
            "known are adaptive, affinity, cost-based, latency-based, least-busy, round-robin, usage-based, weighted",
        ),
        (
            "ROUTER__ROUTING__DEFAULT_FALLBACKS",
            '["smal"]',
            "routing.default_fallbacks.0: unknown model (filled in, so not shown) (did you mean small?)",
        ),
        (
            "ROUTER__AUTH__MASTER_KEY",
            "${NOT_SET}",
            "auth.master_key: the environment variable NOT_SET is not set; ${NOT_SET:-…} would give a default",
        ),
    ],
)
def test_a_problem_is_told_by_the_variables_name(name: str, value: str, problem: str) -> None:
    assert problems(MODELS, {name: value}) == [f"{name}: {problem}"]


def test_a_problem_of_the_file_is_told_by_its_place_though_the_environment_set_its_neighbour() -> None:
    assert problems("server: {port: x}\n" + MODELS, {"ROUTER__SERVER": '{"drain_delay": 1}'}) == [
        "router.yaml:1:16: server.port: expected a whole number, not text"
    ]


def test_variables_with_one_underscore_are_no_settings() -> None:
    env = {
        "ROUTER_CONFIG": "/etc/router.yaml",
        "ROUTER_MASTER_KEY": "k",
        "ROUTER_PORT": "tcp://10.0.0.1:1",
        "PORT": "1",
    }
    assert loaded(MODELS, env).settings == loaded(MODELS).settings


def test_the_process_environment_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER__SERVER__PORT", "1")
    monkeypatch.setenv("NAME", "1")
    assert loaded(MODELS).settings.server.port == 4000
    assert problems("server: {host: '${NAME}'}\n" + MODELS) != []
