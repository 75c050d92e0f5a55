from __future__ import annotations

import pytest

from tests.config.loading import MODELS, loaded, problems

TEXT = (
    MODELS
    + """\
  - {model_name: 'open/*', provider: mock, model: '*'}
models: {small: {aliases: [tiny]}%s}
routing: {%s}
auth: {%s}
"""
)


def told(models: str = "", routing: str = "", auth: str = "") -> list[str]:
    return [line.partition(": ")[2] for line in problems(TEXT % (models, routing, auth))]


@pytest.mark.parametrize("kind", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"])
@pytest.mark.parametrize(
    ("entry", "path", "problem"),
    [
        ("{small: [small]}", "small.0", "a model cannot be its own fallback"),
        ("{small: [large, tiny]}", "small.1", "a model cannot be its own fallback"),
        ("{tiny: [small]}", "tiny.0", "a model cannot be its own fallback"),
        ("{open/*: [open/x]}", "open/*.0", "a model cannot be its own fallback"),
        ("{small: [lrge]}", "small.0", "unknown model 'lrge' (did you mean large?)"),
        ("{small: ['open/*']}", "small.0", "a fallback is one model, not a pattern"),
        ("{smal: [large]}", "smal", "no deployment has this model_name (did you mean small?)"),
        ("{open/x: [large]}", "open/x", "is served by open/*: fallbacks are given for that"),
        ("{small: [large], tiny: [large]}", "tiny", "is small by another name, which has an entry already"),
    ],
)
def test_fallbacks_are_of_and_to_models_that_there_are(kind: str, entry: str, path: str, problem: str) -> None:
    assert told(routing=f"{kind}: {entry}") == [f"routing.{kind}.{path}: {problem}"]


@pytest.mark.parametrize("kind", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"])
def test_the_same_holds_for_a_models_own_lists(kind: str) -> None:
    assert told(f", large: {{{kind}: [large, nobody]}}") == [
        f"models.large.{kind}.0: a model cannot be its own fallback",
        f"models.large.{kind}.1: unknown model 'nobody'; known are large, open/*, small, tiny",
    ]


def test_default_fallbacks_are_models_that_there_are() -> None:
    assert told(routing="default_fallbacks: [small, tiny, open/x, smal]") == [
        "routing.default_fallbacks.3: unknown model 'smal' (did you mean small?)"
    ]


def test_two_models_may_be_each_others_fallback() -> None:
    assert told(routing="fallbacks: {small: [large], large: [tiny]}") == []


@pytest.mark.parametrize(
    ("models", "problem"),
    [
        (", large: {aliases: [tiny]}", "models.large.aliases.0: 'tiny' is an alias of small already"),
        (", large: {aliases: [small]}", "models.large.aliases.0: 'small' is a model_name already"),
        (", large: {aliases: [large]}", "models.large.aliases.0: 'large' is a model_name already"),
        (", large: {aliases: ['l*']}", "models.large.aliases.0: an alias is one name, not a pattern"),
        (", 'open/*': {aliases: [open]}", "models.open/*.aliases.0: a pattern has no aliases"),
        (", lrge: {}", "models.lrge: no deployment has this model_name (did you mean large?)"),
        (", tiny: {}", "models.tiny: is an alias; settings go under its model, small"),
        (", open/x: {}", "models.open/x: no deployment has this model_name (did you mean open/*?)"),
    ],
)
def test_a_name_means_one_thing_only(models: str, problem: str) -> None:
    assert told(models) == [problem]


def test_a_key_may_name_models_aliases_patterns_and_what_a_pattern_serves_but_nothing_else() -> None:
    models = "[small, tiny, open/x, 'claude-*', smal]"
    assert told(auth=f"keys: [{{name: a, key: k, models: {models}}}]") == [
        "auth.keys.0.models.4: unknown model 'smal' (did you mean small?)"
    ]


def test_names_that_were_filled_in_are_not_quoted() -> None:
    text = MODELS + "routing: {default_fallbacks: ['${X}'], strategy: '${X:-y}'}\n"
    assert problems(text, {"X": "s3cret"}) == [
        "router.yaml:4:31: routing.default_fallbacks.0: "
        "unknown model (filled in, so not shown); known are large, small",
        "router.yaml:4:50: routing.strategy: unknown strategy: (filled in, so not shown); "
        "known are adaptive, affinity, cost-based, latency-based, least-busy, round-robin, usage-based, weighted",
    ]


def test_fallbacks_may_be_given_by_alias() -> None:
    config = loaded(TEXT % ("", "fallbacks: {tiny: [open/x], large: [tiny]}", ""))
    assert config.catalogue.groups["small"].policy.fallbacks == ("open/x",)
    assert config.catalogue.groups["large"].policy.fallbacks == ("tiny",)
