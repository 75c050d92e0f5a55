from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from router.config.prices import NOTHING, PriceTable
from router.core.types import Deployment, Prices, Usage
from tests.config.loading import loaded, problems

OPENAI = "https://api.openai.com/v1"
TODAY = datetime(2026, 11, 25, tzinfo=UTC)
ENTRY = "{model_name: m, provider: openai, api_base: 'https://api.openai.com/v1', model: gpt-4o, %s}"


def only(entry: str) -> Deployment:
    ((deployment,),) = loaded(f"model_list: [{entry}]").catalogue.groups["m"].tiers
    return deployment


def test_a_known_model_at_its_providers_address_has_its_list_price_and_window() -> None:
    known = PriceTable(TODAY).find("openai", OPENAI, "gpt-4o-2024-11-20")
    assert known.prices.input == pytest.approx(2.5e-6)
    assert known.prices.output == pytest.approx(1e-5)
    assert known.prices.cached_input == pytest.approx(1.25e-6)
    assert known.context_window == 128_000


@pytest.mark.parametrize(
    ("provider", "api_base", "model"),
    [
        ("openai", "http://10.0.0.1:8000/v1", "gpt-4o"),
        ("openai", "https://10.0.0.1/v1", "gpt-4o"),
        ("openai", "https://vllm/v1", "gpt-4o"),
        ("openai", "https://llm.corp.example/v1", "gpt-4o"),
        ("openai", "unix:///run/model.sock:/v1", "gpt-4o"),
        ("openai", OPENAI, "no-such-model"),
        ("azure", "https://x.openai.azure.com", "my-deployment"),
    ],
)
def test_unknown_stays_unknown(provider: str, api_base: str, model: str) -> None:
    assert PriceTable(TODAY).find(provider, api_base, model) == NOTHING


def test_a_provider_with_one_price_list_needs_no_address() -> None:
    table = PriceTable(TODAY)
    assert table.find("azure", "https://anything.example", "gpt-4o").prices.input == pytest.approx(2.5e-6)
    assert table.find("anthropic", "", "claude-3-5-haiku-20241022").prices.cache_write == pytest.approx(1e-6)


def test_prices_that_rise_with_the_prompt_keep_their_steps() -> None:
    prices = PriceTable(TODAY).find("gemini", "", "gemini-2.5-pro").prices
    assert prices.cost(Usage(200_000, 0)) == pytest.approx(200_000 * 1.25e-6)
    assert prices.cost(Usage(200_001, 0)) == pytest.approx(200_001 * 2.5e-6)


def test_a_price_that_changed_on_a_day_is_that_of_the_day() -> None:
    before = PriceTable(datetime(2025, 6, 1, tzinfo=UTC)).find("openai", OPENAI, "o3").prices
    after = PriceTable(TODAY).find("openai", OPENAI, "o3").prices
    assert before.input == pytest.approx(1e-5)
    assert after.input == pytest.approx(2e-6)


@pytest.mark.parametrize(
    ("given", "prices"),
    [
        ("", Prices(2.5e-6, 1e-5, 1.25e-6)),
        ("input_cost_per_token: 0, output_cost_per_token: 0", Prices(0.0, 0.0)),
        ("input_cost_per_token: 1.0e-6", Prices(1e-6, None)),
        ("cached_input_cost_per_token: 1.0e-6", Prices(2.5e-6, 1e-5, 1e-6)),
        ("reasoning_cost_per_token: 2.0e-5", Prices(2.5e-6, 1e-5, 1.25e-6, reasoning=2e-5)),
    ],
)
def test_what_the_file_says_wins(given: str, prices: Prices) -> None:
    assert only(ENTRY % given).prices == prices


def test_a_window_of_ones_own_wins_and_a_base_model_is_looked_up_in_place_of_the_model() -> None:
    assert only(ENTRY % "").context_window == 128_000
    assert only(ENTRY % "context_window: 1000").context_window == 1000
    assert only(ENTRY % "base_model: gpt-4").context_window == 8192
    assert only(ENTRY % "base_model: gpt-4").model == "gpt-4o"


def test_a_wildcards_models_have_their_prices_once_they_are_named() -> None:
    text = f"model_list: [{{model_name: 'o/*', provider: openai, api_base: '{OPENAI}', model: '*'}}]"
    catalogue = loaded(text).catalogue
    (group,) = catalogue.wildcards
    assert group.tiers[0][0].prices == Prices()
    concrete = catalogue.resolve("o/gpt-4o-mini")
    assert concrete is not None
    assert concrete.tiers[0][0].prices.input == pytest.approx(1.5e-7)


def test_a_file_that_needs_no_price_table_does_not_load_it() -> None:
    script = (
        "import sys, tempfile, pathlib; from tests.config.loading import loaded\n"
        "loaded('model_list: [{model_name: m, provider: mock},"
        ' {model_name: m, provider: openai, api_base: "http://127.0.0.1/v1"}]\')\n'
        "assert not [name for name in sys.modules if name.startswith('genai_prices')]"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("period", ["30", "d", "-1d", "1y", "1.5h", "1s", "٣d"])
def test_a_budget_period_that_is_none_is_told(period: str) -> None:
    (told,) = problems(
        f"auth: {{keys: [{{name: a, key: k, max_budget: 1, budget_period: '{period}'}}]}}\n"
        "model_list: [{model_name: m, provider: mock}]"
    )
    assert "auth.keys.0.budget_period" in told
