"""The invariants, in random stories: any catalogue, any behaviour of upstreams, any client. See `promises.py`."""

from __future__ import annotations

from hypothesis import given, settings

from tests.flow.drawn import stories
from tests.flow.promises import assert_all_kept
from tests.flow.stories import Story, play


@settings(max_examples=300)
@given(stories())
def test_the_invariants_hold_in_every_story(story: Story) -> None:
    assert_all_kept(play(story))


@settings(max_examples=30)
@given(stories())
def test_a_story_is_told_the_same_way_twice(story: Story) -> None:
    first, second = play(story), play(story)
    assert first.events == second.events
    assert [told.exchange.writes for told in first.told] == [told.exchange.writes for told in second.told]
