from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects.stops import StopTrimmer, trimmed


@pytest.mark.parametrize(
    ("text", "stops", "shown"),
    [
        ("Hello</s>", ["</s>"], "Hello"),
        ("Hello", ["</s>"], "Hello"),
        ("Hello</", ["</s>"], "Hello</"),
        ("a</s>b", ["</s>"], "a</s>b"),
        ("</s>", ["</s>"], ""),
        ("x\nUser:", ["\nUser:", "User:"], "x"),
        ("Hello", [], "Hello"),
        ("Hello", [""], "Hello"),
        ("x" + "y" * 1024, ["y" * 1024], "x"),
        ("x" + "y" * 1025, ["y" * 1025], "x" + "y" * 1025),
    ],
)
def test_a_stop_text_at_the_end_is_not_shown(text: str, stops: list[str], shown: str) -> None:
    assert trimmed(text, stops) == shown


@given(st.text("ab<>/s", max_size=20), st.lists(st.text("ab<>/s", min_size=1, max_size=4), max_size=3), st.data())
def test_however_the_text_is_cut_the_same_is_shown_and_nothing_is_taken_back(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    trimmer = StopTrimmer(stops)
    shown = ""
    rest = text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        shown += trimmer.feed(rest[:size])
        rest = rest[size:]
        assert text.startswith(shown)
        assert len(text) - len(rest) - len(shown) <= max(map(len, stops), default=0)
    assert shown + trimmer.end() == trimmed(text, stops)
