"""Prices and context windows out of the data that comes with `genai-prices`, for what the file does not say.

Read at load and never again; the package's own way of asking the network for newer data is not used. What it does not
know stays unknown.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from router.core.prices import UNKNOWN, Prices

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

_BY_NAME: Mapping[str, str] = MappingProxyType(
    {"azure": "azure", "anthropic": "anthropic", "gemini": "google", "vertex": "google", "bedrock": "aws"}
)
"""Our providers whose prices do not depend on an address, by the table's names for them."""
_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "input": "input_mtok",
        "output": "output_mtok",
        "cached_input": "cache_read_mtok",
        "cache_write": "cache_write_mtok",
        "audio_input": "input_audio_mtok",
        "audio_output": "output_audio_mtok",
        "reasoning": "output_reasoning_mtok",
    }
)
_MILLION = 1_000_000


class Known(NamedTuple):
    """What the table says of a model. `context_window` in tokens."""

    prices: Prices
    context_window: int | None


NOTHING = Known(Prices(), None)


class PriceTable:
    """Looks models up. Loaded when first needed, since that takes a tenth of a second and some megabytes."""

    def __init__(self, now: datetime | None = None) -> None:
        """`now`: prices change on announced days."""
        self._now = now or datetime.now(UTC)

    def find(self, provider: str, api_base: str, model: str) -> Known:
        """What is known of `model`, as upstream calls it, at `provider` or else at the address `api_base`."""
        name = _BY_NAME.get(provider)
        if name is None and not _may_be_known(api_base):
            return NOTHING
        from genai_prices.data_snapshot import get_snapshot

        try:
            _, found = get_snapshot().find_provider_model(model, None, name, None if name else api_base)
        except LookupError:
            return NOTHING
        return Known(_prices(self._standard(found)), found.context_window)

    def _standard(self, model: ModelInfo) -> ModelPrice:
        """Today's prices, those of some hours only left aside: what is read once must hold all day."""
        from genai_prices.types import ModelPrice, TimeOfDateConstraint

        if isinstance(model.prices, ModelPrice):
            return model.prices
        lasting = [each for each in model.prices if not isinstance(each.constraint, TimeOfDateConstraint)]
        for each in reversed(lasting):
            if each.constraint is None or each.constraint.active(self._now):
                return each.prices
        return model.prices[0].prices


def _may_be_known(api_base: str) -> bool:
    """Whether an address can be a provider's: a server in one's own network has no list price."""
    host = urlsplit(api_base).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return api_base.startswith("https:") and "." in host
    return False


def _prices(found: ModelPrice) -> Prices:
    values = {name: getattr(found, key) for name, key in _KEYS.items()}
    starts = sorted({tier.start for value in values.values() for tier in getattr(value, "tiers", ())})

    def rates(start: int) -> Prices:
        at_start: dict[str, Any] = {name: _rate(value, start) for name, value in values.items()}
        return replace(UNKNOWN, **at_start)

    return replace(rates(-1), above=tuple((start, rates(start)) for start in starts))


def _rate(value: Decimal | TieredPrices | None, start: int) -> float | None:
    """Dollars per token for prompts of more than `start` tokens."""
    if value is None or isinstance(value, Decimal):
        return None if value is None else float(value / _MILLION)
    rate = value.base
    for tier in value.tiers:
        if tier.start <= start:
            rate = tier.price
    return float(rate / _MILLION)
