"""`docs/parameters.md`, from the tables in the code: `python -m tests.edge.parameters_page > docs/parameters.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from router.core.types import PROMPTED
from router.dialects.registry import dialects
from router.dialects.support import Fate, How, Support
from router.edge.parameters.table import PARAMETERS, Owner, Parameter

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs/parameters.md"
TEXT = ROOT / "tests/edge/parameters_page.md"
"""What is written by hand, with a line for each of the tables."""
ONLY_TEXT = ("huggingface", "sagemaker")

ROWS = "tests/edge/test_parameter_rows.py"
TESTED: Mapping[Owner, str] = {
    Owner.UPSTREAM: ROWS,
    Owner.ROUTER: ROWS,
    Owner.TEMPLATE: ROWS,
    Owner.OVERRIDE: "tests/edge/test_overrides.py",
}
ALSO: Mapping[str, str] = {
    "messages": "tests/dialects/prompt/test_content.py",
    "stop": "tests/edge/test_text_upstreams.py",
    "timeout": "tests/edge/test_own_parameters.py",
    "num_retries": "tests/edge/test_request_fallbacks.py",
    "fallbacks": "tests/edge/test_request_fallbacks.py",
    "context_window_fallback_dict": "tests/edge/test_own_parameters.py",
    "metadata": "tests/edge/test_metadata.py",
    "deployment_id": "tests/edge/test_azure.py",
    "functions": "tests/dialects/test_functions.py",
    "function_call": "tests/dialects/test_functions.py",
    "roles": "tests/dialects/prompt/test_written.py",
    "hf_model_name": "tests/dialects/prompt/test_families.py",
}
"""Where more is said of a parameter than its row."""
_WORDS = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
_OWNERS = {
    Owner.UPSTREAM: "upstream",
    Owner.ROUTER: "the router",
    Owner.TEMPLATE: "the prompt",
    Owner.OVERRIDE: "with the key's permission",
}


def where_tested(row: Parameter) -> list[str]:
    also = ALSO.get(row.name)
    return [TESTED[row.owner], *([also] if also is not None else [])]


def spoken() -> dict[str, Support]:
    """By the heading of its column: what chat completions go out in. Dialects that agree share one."""
    titles: dict[str, list[str]] = {}
    found: dict[str, Support] = {}
    for name, dialect in dialects().items():
        provider = name.removesuffix(PROMPTED)
        if provider in ONLY_TEXT and name == provider:
            continue
        text = name != provider and provider not in ONLY_TEXT
        key = next((key for key, support in found.items() if support == dialect.support and key.endswith("t") is text),
                   f"{name}{'t' if text else 'c'}")  # fmt: skip
        found[key] = dialect.support
        titles.setdefault(key, []).append(f"`{provider}`")
    return {
        ", ".join(titles[key]) + (" with `mode: completion`" if key.endswith("t") else ""): support
        for key, support in found.items()
    }


def shown(how: How) -> str:
    if how.fate is Fate.REFUSED:
        return "refused"
    word = "sent" if how.fate is Fate.SENT else "emulated"
    return f"{word}: {how.note}" if how.note else word


def _types(row: Parameter) -> str:
    return " or ".join("number" if item is float else _WORDS[item] for item in row.types if item is not int or
                       float not in row.types)  # fmt: skip


def rows_table() -> Iterator[str]:
    yield "| parameter | type | of | for | what it does | tested in |"
    yield "|---|---|---|---|---|---|"
    for row in PARAMETERS:
        kinds = "all" if len(row.kinds) == 3 else ", ".join(row.kinds)
        tests = ", ".join(f"[{Path(test).name}](../{test})" for test in where_tested(row))
        yield f"| `{row.name}` | {_types(row)} | {kinds} | {_OWNERS[row.owner]} | {row.does} | {tests} |"


def dialects_table() -> Iterator[str]:
    columns = spoken()
    yield f"| parameter | {' | '.join(columns)} |"
    yield "|---" * (1 + len(columns)) + "|"
    for row in PARAMETERS:
        if row.owner is Owner.UPSTREAM and "chat" in row.kinds and row.name in next(iter(columns.values())):
            cells = " | ".join(shown(support[row.name]) for support in columns.values())
            yield f"| `{row.name}` | {cells} |"


def page() -> str:
    text = TEXT.read_text(encoding="utf-8")
    text = text.replace("{rows}", "\n".join(rows_table()))
    return text.replace("{dialects}", "\n".join(dialects_table()))


if __name__ == "__main__":
    sys.stdout.write(page())
