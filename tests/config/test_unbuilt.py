from __future__ import annotations

import pytest

from router.config.structure import type_at
from router.config.unbuilt import UNBUILT
from router.dialects.registry import PROVIDERS
from tests.config.loading import MODELS, loaded, problems

KNOWN = f"known are {', '.join(sorted(PROVIDERS))}"
STRATEGIES = "known are adaptive, affinity, cost-based, latency-based, least-busy, round-robin, usage-based, weighted"
KEY = "auth: {keys: [{name: a, key: k, %s}]}\n" + MODELS
DEPLOYMENT = "model_list: [{model_name: m, provider: mock, %s}]\n"
SERVER = "server: {%s}\n" + MODELS
ROUTING = "routing: {%s}\n" + MODELS
MODEL = "models: {small: {%s}}\n" + MODELS

REFUSED = [
    ("server.admin_port", SERVER, "admin_port: 4001"),
]


@pytest.mark.parametrize(("setting", "text", "given"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_setting_whose_feature_is_not_built_is_refused_with_its_place(setting: str, text: str, given: str) -> None:
    (told,) = problems(text % given)
    place, _, message = told.partition(": ")
    assert place.startswith("router.yaml:1:")
    pattern = setting.replace("models.*", "models.small").replace("*", "0")
    assert message == f"{pattern}: {UNBUILT[setting]} is not built yet; remove this setting"


def test_the_place_is_that_of_the_setting_itself() -> None:
    text = MODELS + "server:\n  admin_port: 4001\n"
    told = "router.yaml:5:3: server.admin_port: a port for administration is not built yet; remove this setting"
    assert problems(text) == [told]


def test_every_row_of_the_table_is_tried_here_and_is_in_the_schema() -> None:
    assert {row[0] for row in REFUSED} == set(UNBUILT)
    for pattern in UNBUILT:
        path = tuple(0 if step == "*" and "models" not in pattern else step for step in pattern.split("."))
        assert type_at(path) is not None, pattern


@pytest.mark.parametrize(
    ("text", "given"),
    [
        (SERVER, "workers: 1, admin_port: null"),
        (KEY, "rpm: {limit: 5, strict: false}, tpm: 100, allow: [], allowed_hosts: []"),
        (ROUTING, "drop_params: true"),
        (MODEL, "drop_params: true"),
        (DEPLOYMENT, "rpm: {limit: 5, strict: false}, tags: [], api_version: null"),
    ],
)
def test_a_setting_at_its_default_passes(text: str, given: str) -> None:
    assert problems(text % given) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ROUTING % "strategy: fastest", f"routing.strategy: unknown strategy: 'fastest'; {STRATEGIES}"),
        (
            ROUTING % "strategy: least_busy",
            "routing.strategy: unknown strategy: 'least_busy' (did you mean least-busy?)",
        ),
        (MODEL % "strategy: fastest", f"models.small.strategy: unknown strategy: 'fastest'; {STRATEGIES}"),
        (
            "model_list: [{model_name: m, provider: bedrock}]",
            f"model_list.0.provider: bedrock is not built yet; {KNOWN}",
        ),
        (
            "model_list: [{model_name: m, provider: ollama}]",
            f"model_list.0.provider: ollama is no provider; use openai, whose wire format it speaks; {KNOWN}",
        ),
        (
            "model_list: [{model_name: m, provider: acme}]",
            f"model_list.0.provider: unknown provider: 'acme'; {KNOWN}",
        ),
    ],
)
def test_unknown_names_are_told_apart_from_planned_ones(text: str, problem: str) -> None:
    (told,) = problems(text)
    assert told.partition(": ")[2] == problem


def test_names_are_those_of_the_registries_handed_in() -> None:
    assert loaded("routing: {strategy: weighted}\n" + MODELS).settings.routing.strategy == "weighted"
