from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.core.types import Deployment, Prices, Usage
from tests.core.making import deployment

BASE = deployment("a", api_base="https://up.test/v1", model="m", api_keys=("k1", "k2"))


@pytest.mark.parametrize(
    "change",
    [
        {"id": "b"},
        {"model_name": "other"},
        {"weight": 5.0},
        {"priority": 3},
        {"headers": {"x": "y"}},
        {"api_keys": ("k2", "k1")},
    ],
)
def test_one_backend_stays_itself_under_other_names_and_settings(change: dict[str, Any]) -> None:
    assert replace(BASE, backend="", **change).backend == BASE.backend


@pytest.mark.parametrize(
    "change",
    [{"provider": "azure"}, {"api_base": "https://two.test/v1"}, {"model": "n"}, {"api_keys": ("k1",)}],
)
def test_another_address_model_or_account_is_another_backend(change: dict[str, Any]) -> None:
    assert replace(BASE, backend="", **change).backend != BASE.backend


def test_a_backends_name_tells_no_key() -> None:
    assert len(BASE.backend) == 16
    assert set(BASE.backend) <= set("0123456789abcdef")


def test_mocks_without_an_address_are_backends_of_their_own() -> None:
    one, two = (Deployment(name, "gpt", "mock", "m") for name in "ab")
    assert one.backend != two.backend
    one, two = (Deployment(name, "gpt", "mock", "m", "http://mock.test") for name in "ab")
    assert one.backend == two.backend


def test_parts_do_not_run_into_each_other() -> None:
    assert deployment("a", api_base="x", model="yz").backend != deployment("a", api_base="xy", model="z").backend


def test_a_repr_shows_neither_keys_nor_headers() -> None:
    shown = repr(deployment("a", api_keys=("sk-secret",), headers={"x-token": "hidden"}))
    assert "sk-secret" not in shown
    assert "hidden" not in shown


def test_many_models_out_of_one_wildcard_do_not_share_a_hash() -> None:
    hashes = {hash(replace(BASE, model=f"m{index}")) for index in range(1000)}
    assert len(hashes) > 990
    assert hash(BASE) == hash(replace(BASE))


@pytest.mark.parametrize(
    ("prices", "usage", "cost"),
    [
        (Prices(0.5, 2.0), Usage(10, 3), 11.0),
        (Prices(0.0, 0.0), Usage(10, 3), 0.0),  # 0 is a real price
        (Prices(0.5, 0.0), Usage(10, 3), 5.0),
        (Prices(0.5, None), Usage(10, 0), 5.0),  # embeddings have no output
        (Prices(0.5, None), Usage(10, 3), None),
        (Prices(None, 2.0), Usage(10, 3), None),
        (Prices(), Usage(0, 0), None),
        (Prices(0.5, 2.0, cached_input=0.25), Usage(10, 3, cached_tokens=4), 10.0),
        (Prices(0.5, 2.0, cached_input=0.0), Usage(10, 3, cached_tokens=4), 9.0),
        (Prices(0.5, 2.0), Usage(10, 3, cached_tokens=4), 11.0),  # a part without a price costs what the rest does
        (Prices(0.5, 2.0, cache_write=0.75), Usage(10, 3, cache_write_tokens=4), 12.0),
        (Prices(0.5, 2.0, audio_input=1.5), Usage(10, 3, audio_prompt_tokens=4), 15.0),
        (Prices(0.5, 2.0, audio_output=4.0), Usage(10, 3, audio_completion_tokens=1), 13.0),
        (Prices(0.5, 2.0, reasoning=3.0), Usage(10, 3, reasoning_tokens=2), 13.0),
        (Prices(0.5, 2.0, above=((10, Prices(1.0, 4.0)),)), Usage(10, 3), 11.0),
        (Prices(0.5, 2.0, above=((10, Prices(1.0, 4.0)), (99, Prices(9.0, 9.0)))), Usage(11, 3), 23.0),
        (Prices(0.5, 2.0, above=((10, Prices(1.0, 4.0)),)).replaced_by(Prices(output=0.0)), Usage(11, 3), 11.0),
        (Prices(0.5, 2.0, cached_input=0.1).replaced_by(Prices(1.0, 1.0)), Usage(10, 3, 4), 13.0),
    ],
)
def test_a_cost_is_known_where_every_needed_price_is(prices: Prices, usage: Usage, cost: float | None) -> None:
    assert prices.cost(usage) == cost
