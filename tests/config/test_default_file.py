"""The `router.yaml` that is shipped: as it is, and with what its comments suggest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from router.config import Config, load
from router.core.strategies import STRATEGIES
from router.dialects.mock.behaviour import Behaviour
from router.dialects.registry import PROVIDERS
from tests.config.loading import loaded

SHIPPED = Path(__file__).parents[2] / "router.yaml"
LINES = SHIPPED.read_text(encoding="utf-8").splitlines()
MARKED = re.compile(r"( *)#\| ?(.*)")
BLOCKS = [
    range(start, next(end for end in range(start, len(LINES) + 1) if end == len(LINES) or not MARKED.match(LINES[end])))
    for start in range(len(LINES))
    if MARKED.match(LINES[start]) and not MARKED.match(LINES[start - 1])
]
VALUES = {"REDIS_URL": "redis://redis.internal"}
PROSE = re.compile(r" *#(?!\|)")


def uncommented(*blocks: range) -> Config:
    chosen = {number for block in blocks for number in block}
    lines = [MARKED.sub(r"\1\2", line) if number in chosen else line for number, line in enumerate(LINES)]
    names = re.findall(r"\$\{([A-Z_]+)[:}]", "\n".join(line for line in lines if not PROSE.match(line)))
    return loaded("\n".join(lines), {name: VALUES.get(name, f"value-of-{name}") for name in names})


def test_it_works_as_it_is_with_no_environment_at_all() -> None:
    catalogue = load(SHIPPED, {}, providers=PROVIDERS, strategies=STRATEGIES).catalogue
    assert list(catalogue.groups) == ["demo", "demo-backup", "demo-embedding"]
    assert catalogue.aliases == {"gpt-3.5-turbo": "demo"}
    demo = catalogue.groups["demo"]
    assert demo.policy.fallbacks == ("demo-backup",)
    broken = [d for d in demo.tiers[0] if isinstance(d.options, Behaviour) and d.options.script == ("503",)]
    assert len(demo.tiers[0]) == 4
    assert [d.id for d in broken] == ["demo-broken"]
    assert broken[0].weight == min(d.weight for d in demo.tiers[0])
    assert len({d.weight for d in demo.tiers[0]}) == len({d.prices for d in demo.tiers[0]}) == 4


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 13
    assert sum(len(block) for block in BLOCKS) >= 60


@pytest.mark.parametrize("block", BLOCKS, ids=[LINES[block.start].strip() for block in BLOCKS])
def test_each_example_works_alone_and_changes_something(block: range) -> None:
    shipped = uncommented()
    config = uncommented(block)
    given = config.settings.model_dump(exclude_unset=True)
    assert given != shipped.settings.model_dump(exclude_unset=True)


def test_all_examples_work_together() -> None:
    config = uncommented(*BLOCKS)
    assert {"gpt-4o", "llama-3.1-8b", "qwen2.5"} <= set(config.catalogue.groups)
    assert [group.name for group in config.catalogue.wildcards] == ["openai/*"]
    assert [key.name for key in config.settings.auth.keys] == ["search-team"]
    assert config.catalogue.groups["gpt-4o"].tiers[0][0].api_keys == ("value-of-OPENAI_API_KEY",)


def test_examples_of_settings_show_the_defaults() -> None:
    """So that taking away a comment changes nothing by itself."""
    shipped, shown = uncommented().settings, uncommented(*BLOCKS).settings
    assert shown.server == shipped.server
    exclude = {"context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks"}
    assert shown.routing.model_dump(exclude=exclude) == shipped.routing.model_dump(exclude=exclude)
