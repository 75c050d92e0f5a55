from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router.flow.line import Line


@dataclass(eq=False)
class Person:
    key: str
    priority: int = 0
    name: str = ""


def line_of(*people: str) -> Line[Person]:
    """`a1` waits for key a; `a1!` before all without the mark."""
    line: Line[Person] = Line()
    for name in people:
        line.join(Person(name[0], -1 if name.endswith("!") else 0, name))
    return line


def order(line: Line[Person]) -> list[str]:
    return [person.name for person in line]


def served(line: Line[Person], count: int) -> list[str]:
    names = []
    for _ in range(count):
        person = next(iter(line))
        line.served(person)
        names.append(person.name)
    return names


def test_within_a_key_first_come_first_served() -> None:
    assert order(line_of("a1", "a2", "a3")) == ["a1", "a2", "a3"]


def test_keys_take_turns_however_many_one_of_them_has_waiting() -> None:
    line = line_of("a1", "a2", "a3", "a4", "b1", "c1", "b2")
    assert order(line) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert served(line, 7) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_a_lower_priority_goes_first_whoever_came_first() -> None:
    assert order(line_of("a1", "b1", "c1!", "a2!")) == ["c1!", "a2!", "a1", "b1"]


def test_a_key_that_has_just_had_its_turn_comes_after_the_others() -> None:
    line = line_of("a1", "b1")
    assert served(line, 1) == ["a1"]
    line.join(Person("a", 0, "a2"))
    assert served(line, 2) == ["b1", "a2"]


def test_who_leaves_is_passed_over_and_may_leave_twice() -> None:
    line = line_of("a1", "a2", "b1")
    first = next(iter(line))
    line.leave(first)
    line.leave(first)
    assert len(line) == 2
    assert order(line) == ["a2", "b1"]


class Waiting(RuleBasedStateMachine):
    """Against a plain list, in which the next is looked for: the best priority, then the key whose turn is longest ago,
    then who came first."""

    def __init__(self) -> None:
        super().__init__()
        self.line: Line[Person] = Line()
        self.people: list[Person] = []
        self.turns: dict[tuple[int, str], int] = {}
        self.moment = 0

    @rule(key=st.sampled_from("abc"), priority=st.integers(min_value=-1, max_value=1))
    def joins(self, key: str, priority: int) -> None:
        self.moment += 1
        person = Person(key, priority)
        if not any(other.key == key and other.priority == priority for other in self.people):
            self.turns[priority, key] = self.moment
        self.people.append(person)
        self.line.join(person)

    @precondition(lambda self: self.people)
    @rule(which=st.integers(min_value=0, max_value=50))
    def leaves(self, which: int) -> None:
        person = self.people.pop(which % len(self.people))
        self.line.leave(person)

    @precondition(lambda self: self.people)
    @rule()
    def serves(self) -> None:
        self.moment += 1
        person = next(iter(self.line))
        self.turns[person.priority, person.key] = self.moment
        self.people.remove(person)
        self.line.served(person)

    @invariant()
    def the_next_is_whose_turn_it_is(self) -> None:
        assert len(self.line) == len(self.people)
        assert set(self.line) == set(self.people)
        if self.people:
            expected = min(self.people, key=lambda each: (each.priority, self.turns[each.priority, each.key]))
            assert next(iter(self.line)) is expected


TestWaiting = Waiting.TestCase
