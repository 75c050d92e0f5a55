from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.catalogue import Catalogue, deployment_of
from router.core.types import Deployment, ModelGroup


def group(name: str, *models: str) -> ModelGroup:
    deployments = tuple(
        Deployment(f"{name}-{number}", name, "openai", model, "https://host/v1") for number, model in enumerate(models)
    )
    return ModelGroup(name, (deployments,))


CATALOGUE = Catalogue(
    {"gpt-4o": group("gpt-4o", "gpt-4o-2024"), "claude-best": group("claude-best", "x")},
    {"latest": "gpt-4o", "claude-new": "claude-best"},
    (
        group("*", "*"),
        group("openai/*", "*", "fixed"),
        group("openai/*-mini", "small-*"),
        group("claude-*", "claude-*"),
    ),
)


@pytest.mark.parametrize(
    ("asked", "name", "models"),
    [
        ("gpt-4o", "gpt-4o", ["gpt-4o-2024"]),
        ("latest", "gpt-4o", ["gpt-4o-2024"]),
        ("claude-best", "claude-best", ["x"]),
        ("claude-new", "claude-best", ["x"]),
        ("claude-old", "claude-*", ["claude-old"]),
        ("openai/o3", "openai/*", ["o3", "fixed"]),
        ("openai/o3-mini", "openai/*-mini", ["small-o3"]),
        ("openai/-mini", "openai/*", ["-mini", "fixed"]),
        ("openai/", "*", ["openai/"]),
        ("else", "*", ["else"]),
    ],
)
def test_a_name_is_exact_else_an_alias_else_the_most_specific_wildcard(
    asked: str, name: str, models: list[str]
) -> None:
    found = CATALOGUE.resolve(asked)
    assert found is not None
    assert found.name == name
    assert [deployment.model for tier in found.tiers for deployment in tier] == models


def test_an_unknown_name_is_nobodys() -> None:
    assert Catalogue({"a": group("a", "a")}, {}, (group("b/*", "*"),)).resolve("b/") is None
    assert Catalogue({"a": group("a", "a")}).resolve("c") is None


def test_a_wildcards_deployments_keep_their_id_and_their_backend() -> None:
    pattern = CATALOGUE.wildcards[-1].tiers[0][0]
    found = CATALOGUE.resolve("anything")
    assert found is not None
    concrete = found.tiers[0][0]
    assert (concrete.id, concrete.backend, concrete.model) == (pattern.id, pattern.backend, "anything")
    assert deployment_of(found, pattern) is concrete


def test_an_ordinary_deployment_is_its_own_concrete_one() -> None:
    ordinary = CATALOGUE.groups["gpt-4o"]
    assert deployment_of(ordinary, ordinary.tiers[0][0]) is ordinary.tiers[0][0]


def test_matches_are_remembered_up_to_a_bound_and_the_one_unused_for_longest_goes_first() -> None:
    catalogue = Catalogue({}, {}, (group("*", "*"),))
    first = catalogue.resolve("first")
    second = catalogue.resolve("second")
    for number in range(1022):
        catalogue.resolve(f"model-{number}")
    assert catalogue.resolve("first") is first
    catalogue.resolve("one more")
    assert catalogue.resolve("first") is first
    assert catalogue.resolve("second") is not second
    assert len(catalogue._matches) == 1024


def test_names_are_model_names_and_aliases_without_patterns() -> None:
    assert CATALOGUE.names() == ["claude-best", "claude-new", "gpt-4o", "latest"]


def test_close_names_are_like_the_one_asked_for() -> None:
    assert CATALOGUE.close_names("gpt4o") == ["gpt-4o"]
    assert CATALOGUE.close_names("zzz") == []
    assert CATALOGUE.close_names("gpt-4o" * 1000) == []


@given(st.text(alphabet="ab/", min_size=1), st.permutations(["*", "a/*", "*/a", "a*a", "b*"]))
def test_which_wildcard_matches_does_not_depend_on_their_order(asked: str, patterns: list[str]) -> None:
    found = Catalogue({}, {}, tuple(group(pattern, "*") for pattern in patterns)).resolve(asked)
    sorted_found = Catalogue({}, {}, tuple(group(pattern, "*") for pattern in sorted(patterns))).resolve(asked)
    assert found == sorted_found
    assert found is not None
