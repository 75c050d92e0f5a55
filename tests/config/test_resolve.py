from __future__ import annotations

from datetime import date

import pytest

from router.core.types import (
    AdaptiveWeights,
    CooldownPolicy,
    Deployment,
    ErrorPatterns,
    HealthCheck,
    HedgingPolicy,
    Limits,
    Prices,
    QueuePolicy,
    RetryBudgetPolicy,
    RoutingPolicy,
)
from router.dialects.mock.behaviour import Behaviour
from tests.config.loading import MODELS, loaded, problems


def test_a_deployment_is_what_its_entry_says() -> None:
    text = """\
model_list:
  - model_name: gpt-4o
    id: east
    provider: openai
    model: gpt-4o-2024-11-20
    mode: chat
    api_base: https://host/v1
    api_keys: [a, b]
    weight: 3
    priority: 1
    input_cost_per_token: 25e-7
    output_cost_per_token: 0
    context_window: 128_000
    max_output_tokens: 16384
    headers: {X-Team: platform}
    tls: {server_name: other}
    enabled: false
"""
    (tier,) = loaded(text).catalogue.groups["gpt-4o"].tiers
    (deployment,) = tier
    assert (deployment.id, deployment.model_name, deployment.provider) == ("east", "gpt-4o", "openai")
    assert (deployment.model, deployment.mode, deployment.api_base) == ("gpt-4o-2024-11-20", "chat", "https://host/v1")
    assert (deployment.api_keys, deployment.weight, deployment.priority) == (("a", "b"), 3.0, 1)
    assert deployment.prices == Prices(2.5e-6, 0.0)
    assert (deployment.context_window, deployment.max_output_tokens) == (128000, 16384)
    assert (deployment.headers, deployment.tls.server_name, deployment.enabled) == (
        {"X-Team": "platform"},
        "other",
        False,
    )
    assert deployment.options is None


def test_a_deployment_left_at_its_defaults_is_the_cores_default() -> None:
    text = "model_list: [{model_name: m, id: d, provider: openai, api_base: 'https://host'}]"
    assert loaded(text).catalogue.groups["m"].tiers == ((Deployment("d", "m", "openai", "m", "https://host"),),)


def test_a_mock_deployment_carries_its_behaviour() -> None:
    text = """\
model_list:
  - {model_name: m, provider: mock, mock: {script: [503, ok], failure: 429, retry_after: 2}}
  - {model_name: n, provider: mock}
"""
    groups = loaded(text).catalogue.groups
    assert groups["m"].tiers[0][0].options == Behaviour(script=("503", "ok"), failure="429", retry_after=2.0)
    assert groups["n"].tiers[0][0].options == Behaviour()


def test_tiers_are_sorted_by_priority_and_keep_disabled_deployments() -> None:
    entries = [("a", 1), ("b", 0), ("c", 1), ("d", -1)]
    text = "model_list:\n" + "".join(
        f"  - {{model_name: m, id: {name}, provider: mock, priority: {priority}, enabled: false}}\n"
        for name, priority in entries
    )
    tiers = loaded(text).catalogue.groups["m"].tiers
    assert [[deployment.id for deployment in tier] for tier in tiers] == [["d"], ["b"], ["a", "c"]]


def test_ids_left_out_are_made_from_the_names_and_never_clash() -> None:
    text = """\
model_list:
  - {model_name: m, provider: mock}
  - {model_name: m, provider: mock, id: m/mock-2}
  - {model_name: m, provider: openai, api_base: "http://h"}
  - {model_name: m, provider: mock}
  - {model_name: n, provider: mock}
"""
    groups = loaded(text).catalogue.groups
    assert [d.id for d in groups["m"].tiers[0]] == ["m/mock-1", "m/mock-2", "m/openai-1", "m/mock-3"]
    assert [d.id for d in groups["n"].tiers[0]] == ["n/mock-1"]


def test_a_models_own_settings_go_over_those_of_routing() -> None:
    text = (
        """\
routing:
  strategy: weighted
  timeout: 20
  connect_timeout: 1
  fallbacks: {large: [small]}
  context_window_fallbacks: {small: [large]}
  cooldown: {base: 1, window: 9}
models:
  small: {strategy: round-robin, num_retries: 0, timeout: 10, content_policy_fallbacks: [large], cooldown: {base: 2}}
  large: {fallbacks: [], num_retries: null}
"""
        + MODELS
    )
    groups = loaded(text).catalogue.groups
    assert groups["small"].policy == RoutingPolicy(
        strategy="round-robin",
        num_retries=0,
        timeout=10.0,
        connect_timeout=1.0,
        context_window_fallbacks=("large",),
        content_policy_fallbacks=("large",),
        cooldown=CooldownPolicy(base=2.0, window=9.0),
    )
    assert groups["large"].policy == RoutingPolicy(
        strategy="weighted", timeout=20.0, connect_timeout=1.0, cooldown=CooldownPolicy(base=1.0, window=9.0)
    )


def test_default_fallbacks_are_for_models_without_an_entry_and_never_name_the_model_itself() -> None:
    text = (
        "models: {small: {aliases: [tiny]}}\nrouting: {default_fallbacks: [tiny, large], fallbacks: {other: []}}\n"
        + MODELS
        + "  - {model_name: other, provider: mock}\n  - {model_name: 'o/*', provider: mock}\n"
    )
    catalogue = loaded(text).catalogue
    assert catalogue.groups["small"].policy.fallbacks == ("large",)
    assert catalogue.groups["large"].policy.fallbacks == ("tiny",)
    assert catalogue.groups["other"].policy.fallbacks == ()
    assert catalogue.wildcards[0].policy.fallbacks == ("tiny", "large")


def test_wildcards_stand_apart_and_aliases_lead_to_their_model() -> None:
    text = (
        MODELS
        + """\
  - {model_name: "o/*", id: o, provider: openai, model: "*", api_base: "http://h"}
  - {model_name: "p/*", id: p, provider: openai, api_base: "http://h"}
models: {small: {aliases: [tiny]}}
"""
    )
    catalogue = loaded(text).catalogue
    assert list(catalogue.groups) == ["small", "large"]
    assert catalogue.names() == ["large", "small", "tiny"]
    models = {name: found.tiers[0][0].model for name in ("tiny", "o/x", "p/x") if (found := catalogue.resolve(name))}
    assert models == {"tiny": "small", "o/x": "x", "p/x": "p/x"}


def test_keys_keep_their_name_their_models_and_their_last_day() -> None:
    text = "auth: {keys: [{name: a, key: k, models: [small], expires: 2027-06-30, team: t}]}\n" + MODELS
    (key,) = loaded(text).settings.auth.keys
    assert (key.name, key.models, key.expires, key.team) == ("a", ("small",), date(2027, 6, 30), "t")


def test_limits_are_the_deployments_and_none_where_none_is_given() -> None:
    text = """\
model_list:
  - {model_name: m, id: a, provider: mock, rpm: 600, tpm: {limit: 1000}, max_parallel_requests: 4}
  - {model_name: m, id: b, provider: mock, tpm: 5}
  - {model_name: m, id: c, provider: mock}
"""
    ((a, b, c),) = loaded(text).catalogue.groups["m"].tiers
    assert a.limits == Limits(600, 1000, 4)
    assert b.limits == Limits(None, 5, None)
    assert c.limits is None


def test_a_models_queue_differs_from_the_shared_one_only_in_what_it_says() -> None:
    models = "model_list: [{model_name: a, provider: mock}, {model_name: b, provider: mock}]\n"
    shared = "routing: {queue: {max_waiting: 7, timeout: 3}}\n"
    groups = loaded(shared + "models: {b: {queue: {timeout: 1}}}\n" + models).catalogue.groups
    assert (groups["a"].policy.queue, groups["b"].policy.queue) == (QueuePolicy(7, 3.0), QueuePolicy(7, 1.0))
    groups = loaded(shared + "models: {b: {queue: {max_waiting: 0}}}\n" + models).catalogue.groups
    assert groups["b"].policy.queue is None
    assert loaded(models).catalogue.groups["a"].policy.queue is None


def test_tags_and_the_price_of_cached_prompts_are_the_deployments() -> None:
    text = "model_list: [{model_name: m, provider: mock, tags: [eu, paid], cached_input_cost_per_token: 1e-7}]"
    ((deployment,),) = loaded(text).catalogue.groups["m"].tiers
    assert deployment.tags == {"eu", "paid"}
    assert deployment.prices == Prices(None, None, 1e-7)


@pytest.mark.parametrize("tag", ["!eu", "a,b"])
def test_a_tag_that_no_request_could_name_is_refused(tag: str) -> None:
    (told,) = problems(f"model_list: [{{model_name: m, provider: mock, tags: ['{tag}']}}]")
    assert "must not begin with ! nor hold a comma" in told


@pytest.mark.parametrize(
    ("strategy", "first", "second", "weights"),
    [
        ("weighted", "rpm: 600", "rpm: 200", [600.0, 200.0]),
        ("weighted", "rpm: 600", "rpm: 200, weight: 1", [1.0, 1.0]),
        ("weighted", "rpm: 600", "tpm: 200", [1.0, 1.0]),
        ("weighted", "rpm: 600", "rpm: 200, priority: 1, weight: 7", [600.0, 7.0]),
        ("least-busy", "rpm: 600", "rpm: 200", [1.0, 1.0]),
    ],
)
def test_where_no_weight_of_a_tier_is_given_but_every_rpm_weighted_goes_by_that(
    strategy: str, first: str, second: str, weights: list[float]
) -> None:
    text = f"""\
routing: {{strategy: {strategy}}}
model_list:
  - {{model_name: m, provider: mock, {first}}}
  - {{model_name: m, provider: mock, {second}}}
"""
    tiers = loaded(text).catalogue.groups["m"].tiers
    assert [deployment.weight for tier in tiers for deployment in tier] == weights


def test_the_weights_of_adaptive_are_overridden_one_by_one() -> None:
    text = "routing: {adaptive: {cost: 2.0, load: 0.5}}\nmodels: {small: {adaptive: {cost: 0.0}}}\n" + MODELS
    groups = loaded(text).catalogue.groups
    assert groups["large"].policy.adaptive == AdaptiveWeights(load=0.5, cost=2.0)
    assert groups["small"].policy.adaptive == AdaptiveWeights(load=0.5, cost=0.0)


def test_a_models_retry_budget_differs_from_the_shared_one_only_in_what_it_says() -> None:
    text = "routing: {retry_budget: {ratio: 0.1}}\nmodels: {small: {retry_budget: {min_per_second: 9}}}\n" + MODELS
    groups = loaded(text).catalogue.groups
    assert groups["small"].policy.retry_budget == RetryBudgetPolicy(0.1, 9.0)
    assert groups["large"].policy.retry_budget == RetryBudgetPolicy(0.1, 3.0)


def test_a_models_error_patterns_come_on_top_of_the_shared_ones_in_lower_case() -> None:
    text = """\
routing: {error_patterns: {context_window: [Too BIG]}}
models: {small: {error_patterns: {context_window: [far too big], content_policy: [NO way]}}}
"""
    groups = loaded(text + MODELS).catalogue.groups
    assert groups["small"].policy.error_patterns == ErrorPatterns(("too big", "far too big"), ("no way",))
    assert groups["large"].policy.error_patterns == ErrorPatterns(("too big",))
    assert loaded(MODELS).catalogue.groups["small"].policy.error_patterns is None


def test_a_model_hedges_where_it_or_routing_says_so() -> None:
    text = "routing: {hedging: {max_ratio: 0.1}}\nmodels: {small: {hedging: {enabled: true, quantile: 0.9}}}\n" + MODELS
    groups = loaded(text).catalogue.groups
    assert groups["small"].policy.hedging == HedgingPolicy(0.9, 0.1)
    assert groups["large"].policy.hedging is None
    everyone = loaded("routing: {hedging: {enabled: true}}\nmodels: {small: {hedging: {enabled: false}}}\n" + MODELS)
    assert everyone.catalogue.groups["large"].policy.hedging == HedgingPolicy()
    assert everyone.catalogue.groups["small"].policy.hedging is None


def test_a_health_check_is_the_deployments_and_needs_a_host() -> None:
    text = "model_list: [{model_name: m, provider: openai, api_base: 'http://h/v1', health_check: {path: /health}}]"
    (tier,) = loaded(text).catalogue.groups["m"].tiers
    assert tier[0].health_check == HealthCheck("/health", 30.0)
    text = "model_list: [{model_name: m, provider: mock, health_check: {path: /health}}]"
    assert problems(text) == ["router.yaml:1:46: model_list.0.health_check: needs an api_base: there is no host to ask"]
