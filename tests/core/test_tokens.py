from __future__ import annotations

from typing import Any

import pytest

from router.core.tokens import DEFAULT_OUTPUT_TOKENS, estimate, max_output


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ({}, DEFAULT_OUTPUT_TOKENS),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 9}, 9),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 9),
        ({"max_tokens": None}, DEFAULT_OUTPUT_TOKENS),
        ({"max_tokens": "7"}, DEFAULT_OUTPUT_TOKENS),
    ],
)
def test_output_is_what_was_asked_for_or_else_a_usual_length(body: dict[str, Any], output: int) -> None:
    assert estimate(100, max_output(body)).output_tokens == output


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (3, 0), (4, 1), (4000, 1000)])
def test_four_bytes_are_a_token(size: int, tokens: int) -> None:
    assert estimate(size, None).prompt_tokens == tokens
