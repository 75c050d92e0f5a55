from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from router.config import describe, load
from router.core.errors import ConfigError
from router.core.strategies import STRATEGIES
from router.dialects.registry import PROVIDERS
from tests.config.loading import MODELS, loaded, problems

KNOWN = f"known are {', '.join(sorted(PROVIDERS))}"

SECRET = "s3cret-5f0c"

MANY_PROBLEMS = """\
server:
  prt: 4001
  port: 4000
  port: true
auth:
  keys:
    - {name: search, key: "${NOT_SET}", models: [smal]}
    - {name: search, key: s3cret-5f0c}
    - {name: other, key: s3cret-5f0c, max_budget: -5}
routing:
  strategy: fastest
  fallbacks: {small: [small, lrge], nobody: []}
  hedging: {quantile: 95}
models:
  small: {aliases: [tiny, tiny, small], num_retries: -1}
model_list:
  - {model_name: small, provider: mock}
  - model_name: large
    rmp: 600
    provider: opnai
    api_base: http://user:s3cret-5f0c@host
  - provider: bedrock
    api_key: "s3cret-5f0c\\n"
    weight: 0
"""


def test_all_problems_are_told_at_once_in_the_order_of_the_file_and_then_of_the_environment() -> None:
    env = {"ROUTER__SERVER__PRT": SECRET, "ROUTER__SERVER__BODY_TIMEOUT": SECRET}
    assert problems(MANY_PROBLEMS, env) == [
        "router.yaml:2:3: server.prt: unknown key (did you mean port?)",
        "router.yaml:4:3: server.port: duplicate key, first given in line 3",
        "router.yaml:7:27: auth.keys.0.key: the environment variable NOT_SET is not set; "
        "${NOT_SET:-…} would give a default",
        "router.yaml:7:50: auth.keys.0.models.0: unknown model 'smal' (did you mean small?)",
        "router.yaml:8:14: auth.keys.1.name: another key has this name already",
        "router.yaml:9:26: auth.keys.2.key: is the same as the key of search",
        "router.yaml:9:51: auth.keys.2.max_budget: must be 0 or more",
        "router.yaml:11:13: routing.strategy: unknown strategy: 'fastest'; "
        "known are adaptive, affinity, cost-based, latency-based, least-busy, round-robin, usage-based, weighted",
        "router.yaml:12:23: routing.fallbacks.small.0: a model cannot be its own fallback",
        "router.yaml:12:30: routing.fallbacks.small.1: unknown model 'lrge' (did you mean large?)",
        "router.yaml:12:37: routing.fallbacks.nobody: no deployment has this model_name; known are large, small",
        "router.yaml:13:23: routing.hedging.quantile: must be 1 or less",
        "router.yaml:15:27: models.small.aliases.1: 'tiny' is an alias of small already",
        "router.yaml:15:33: models.small.aliases.2: 'small' is a model_name already",
        "router.yaml:15:54: models.small.num_retries: must be 0 or more",
        "router.yaml:19:5: model_list.1.rmp: unknown key (did you mean rpm?)",
        "router.yaml:20:15: model_list.1.provider: unknown provider: 'opnai' (did you mean openai?)",
        "router.yaml:21:15: model_list.1.api_base: must hold no user or password; the key goes into api_key",
        "router.yaml:22:5: model_list.2.model_name: is missing",
        f"router.yaml:22:15: model_list.2.provider: bedrock is not built yet; {KNOWN}",
        "router.yaml:23:14: model_list.2.api_key: holds a line break or another control character",
        "router.yaml:24:13: model_list.2.weight: must be more than 0",
        "ROUTER__SERVER__BODY_TIMEOUT: server.body_timeout: expected a number, not text",
        "ROUTER__SERVER__PRT: server.prt: unknown setting (did you mean port?)",
    ]


def test_the_error_names_the_file_as_the_user_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "router.yaml").write_text("model_list:\n  - model_name: a\n    provider: mock\n    rmp: 1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(Path("router.yaml"), {}, providers=PROVIDERS, strategies=STRATEGIES)
    assert caught.value.problems == ["router.yaml:4:5: model_list.0.rmp: unknown key (did you mean rpm?)"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "router.yaml:1:1: model_list: there is no deployment, so nothing can be served"),
        ("# nothing\n", "router.yaml:1:1: model_list: there is no deployment, so nothing can be served"),
        ("model_list:\n", "router.yaml:1:12: model_list: there is no deployment, so nothing can be served"),
        ("model_list: []\n", "router.yaml:1:13: model_list: there is no deployment, so nothing can be served"),
        ("[1]", "router.yaml:1:1: expected a mapping with server, routing, model_list and so on"),
        ("just text", "router.yaml:1:1: expected a mapping with server, routing, model_list and so on"),
        ("a: [", "router.yaml:2:1: no valid YAML: did not find expected node content"),
    ],
)
def test_a_file_that_serves_nothing_is_refused(text: str, expected: str) -> None:
    assert expected in problems(text)


def test_a_problem_is_one_line_whatever_the_keys_hold() -> None:
    assert problems('"a\\nb": 1\n' + MODELS) == [
        r"router.yaml:1:1: 'a\nb': unknown key; "
        "known are server, auth, state, telemetry, routing, models, chat_templates, model_list"
    ]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    def told(path: Path) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(path, {}, providers=PROVIDERS, strategies=STRATEGIES)
        return caught.value.problems

    (tmp_path / "binary").write_bytes(b"a: \xff")
    start = f"{tmp_path}/{{}}: cannot read the configuration: {{}}"
    assert told(tmp_path / "none") == [start.format("none", "No such file or directory")]
    assert told(tmp_path / "binary") == [start.format("binary", "it is not UTF-8 text")]
    assert told(tmp_path) == [f"{tmp_path}: cannot read the configuration: Is a directory"]


def test_sections_left_empty_are_sections_left_out() -> None:
    assert loaded("server:\nauth:\n  keys:\nrouting:\nmodels:\n" + MODELS).settings == loaded(MODELS).settings


def test_files_are_the_configuration_itself_and_every_file_it_names(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    text = "auth: {master_key: '${file:key}', keys: [{name: a, key: '${file:" + str(tmp_path / "key") + "}x'}]}\n"
    assert loaded(text + MODELS, folder=tmp_path).files == (tmp_path / "router.yaml", tmp_path / "key")


WITH_SECRETS = f"""\
auth:
  master_key: {SECRET}-master
  keys: [{{name: a, key: {SECRET}-client}}]
model_list:
  - {{model_name: m, provider: openai, api_base: "https://host/v1", api_key: "${{KEY}}", headers: {{x-key: {SECRET}}}}}
  - {{model_name: m, provider: openai, api_base: "https://host/v1", api_keys: ["${{file:key}}", {SECRET}-2]}}
"""


def test_secrets_are_masked_wherever_the_configuration_is_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    config = loaded(WITH_SECRETS, {"KEY": SECRET}, tmp_path)
    deployments = config.catalogue.groups["m"].tiers[0]
    assert deployments[0].api_keys == (SECRET,)
    assert deployments[1].api_keys == (SECRET, f"{SECRET}-2")
    assert deployments[0].headers == {"x-key": SECRET}
    shown = [describe(config), repr(config), str(config.settings), config.settings.model_dump_json()]
    shown += [repr(config.catalogue), repr(deployments[0])]
    assert [text for text in shown if SECRET in text] == []


@pytest.mark.parametrize(
    "setting",
    [
        "server.port",
        "server.fast_path",
        "server.prt",
        "auth.keys",
        "auth.master_key",
        "state.redis_url",
        "state.namespace",
        "routing.strategy",
        "routing.timeout",
        "routing.fallbacks",
        "routing.cooldown",
        "models",
        "model_list",
    ],
)
@pytest.mark.parametrize("value", [SECRET, f"{SECRET}\n", f'["{SECRET}"]', f'{{"{SECRET}x": "{SECRET}", "a": 1'])
def test_no_error_quotes_what_the_environment_set(setting: str, value: str) -> None:
    name = "ROUTER__" + setting.replace(".", "__").upper()
    assert SECRET not in "\n".join(problems(MODELS, {name: value}))
    section, _, key = setting.partition(".")
    if key:
        assert SECRET not in "\n".join(problems(f'{section}: {{{key}: "${{FILLED}}"}}\n{MODELS}', {"FILLED": value}))


DEPLOYMENT_TEXTS = (
    "id",
    "provider",
    "model",
    "mode",
    "api_base",
    "api_key",
    "api_version",
    "weight",
    "rpm",
    "context_window",
    "headers",
    "tls",
    "health_check",
    "mock",
    "enabled",
    "tags",
)


@pytest.mark.parametrize("key", DEPLOYMENT_TEXTS)
@pytest.mark.parametrize("value", [f"{SECRET}é", f" {SECRET}", f"http://{SECRET}@host"])
def test_no_error_quotes_what_was_filled_in_for_a_deployment(key: str, value: str) -> None:
    entry = {"model_name": "m", "provider": "openai", "api_base": "https://host/v1", key: "${FILLED}"}
    told = problems(yaml.safe_dump({"model_list": [entry]}), {"FILLED": value})
    assert SECRET not in "\n".join(told)


def test_a_traceback_of_the_error_shows_no_value_either() -> None:
    try:
        loaded(f"server: {{port: {SECRET}}}\n{MODELS}")
    except ConfigError:
        shown = traceback.format_exc()
    assert SECRET not in shown
    assert "server.port" in shown


def test_two_thousand_deployments_load() -> None:
    entries = [
        {
            "model_name": f"model-{number % 500}", "id": f"deployment-{number}", "provider": "openai",
            "model": "gpt-4o", "api_base": f"https://host-{number}.example/v1", "api_key": "${KEY}", "weight": 3,
            "input_cost_per_token": 0.0000025, "headers": {"x-team": "platform"},
        }
        for number in range(2000)
    ]  # fmt: skip
    catalogue = loaded(yaml.safe_dump({"model_list": entries}), {"KEY": "k"}).catalogue
    assert len(catalogue.groups) == 500
    assert sum(len(group.tiers[0]) for group in catalogue.groups.values()) == 2000


keys = st.sampled_from(
    [
        "server",
        "auth",
        "keys",
        "routing",
        "models",
        "model_list",
        "model_name",
        "provider",
        "port",
        "fallbacks",
        "mock",
        "m",
        "script",
        "aliases",
        "weight",
        "headers",
        "tls",
        "cooldown",
        "rpm",
        "api_base",
        "x",
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["m", "mock", "openai", "*", "a*", "${X}", "503"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(), inner, max_size=4)
)
deployments = st.fixed_dictionaries(
    {"model_name": st.sampled_from(["m", "n", "o/*"]), "provider": st.sampled_from(["mock", "openai"])},
    optional={key: values for key in DEPLOYMENT_TEXTS if key != "provider"},
)
files = st.fixed_dictionaries(
    {"model_list": st.lists(deployments, min_size=1, max_size=3)},
    optional={
        "server": st.dictionaries(st.sampled_from(["port", "host", "workers", "access_log"]), values, max_size=2),
        "auth": st.fixed_dictionaries({}, optional={"keys": st.lists(values, max_size=3), "master_key": values}),
        "routing": st.dictionaries(st.sampled_from(["fallbacks", "default_fallbacks", "strategy", "cooldown"]), values),
        "models": st.dictionaries(
            st.sampled_from(["m", "n", "o/*"]),
            st.dictionaries(st.sampled_from(["aliases", "fallbacks", "cooldown", "timeout"]), values, max_size=2),
        ),
    },
)


@given(files | values)
def test_any_file_is_served_or_refused_with_places_and_nothing_else_is_raised(data: Any) -> None:
    text = yaml.safe_dump(data, allow_unicode=True)
    told = problems(text)
    if told:
        assert all(line.startswith("router.yaml:") for line in told)
    else:
        assert describe(loaded(text))


@given(st.text(alphabet="ab:{}[],&*!<-?|>'\"#%@ \n\t~0$"))
def test_any_text_is_served_or_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        loaded(text)
