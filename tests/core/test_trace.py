from __future__ import annotations

from random import Random

import pytest

from router.core.trace import CONTENT_LIMIT, Parent, Trace, parent_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def trace(parent: Parent | None = None, *, sampled: bool = True, content: bool = False) -> Trace:
    return Trace(parent, sampled, 0.0, Random(1), content)


@pytest.mark.parametrize(
    ("given", "sampled"),
    [
        (GOOD, True),
        (GOOD[:-2] + "00", False),
        (GOOD[:-2] + "03", True),
        (f"  {GOOD} ", True),
        (f"cc-{GOOD[3:]}-what", True),
    ],
)
def test_a_well_formed_parent_is_read(given: str, sampled: bool) -> None:
    assert parent_of({"traceparent": given}) == Parent(int(TRACE, 16), int(SPAN, 16), sampled)


@pytest.mark.parametrize(
    "given",
    [
        "", "00", GOOD.upper(), GOOD[:-1], GOOD + "-more", f"ff-{GOOD[3:]}", f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE[:-1]}g-{SPAN}-01", f"00_{TRACE}_{SPAN}_01", "é" * 55, "-" * 55,
        f"00-+{TRACE[1:]}-{SPAN}-01",
    ],
)  # fmt: skip
def test_anything_else_begins_a_trace_anew(given: str) -> None:
    assert parent_of({"traceparent": given}) is None


@pytest.mark.parametrize("state", ["a=1\r\nx: y", "ä=1", "x" * 513])
def test_a_state_that_cannot_travel_on_is_left_behind(state: str) -> None:
    parent = parent_of({"traceparent": GOOD, "tracestate": state})
    assert parent is not None
    assert parent.state == ""


def test_upstream_is_handed_the_trace_with_the_attempts_span() -> None:
    own = trace(parent_of({"traceparent": GOOD, "tracestate": "a=1,b=2"}))
    head = own.head(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n", 0xAB)
    assert head == (
        b"POST / HTTP/1.1\r\nhost: x\r\n"
        b"traceparent: 00-" + TRACE.encode() + b"-00000000000000ab-01\r\ntracestate: a=1,b=2\r\n\r\n"
    )


def test_without_a_parent_the_sampling_decides_and_ids_are_never_nothing() -> None:
    own = trace(sampled=False)
    assert own.trace_id
    assert own.span_id
    assert b"-00\r\n\r\n" in own.head(b"\r\n\r\n", own.new_span())


def test_a_parents_decision_goes_before_ones_own() -> None:
    assert trace(Parent(1, 2, False), sampled=True).sampled is False
    assert trace(Parent(1, 2, True), sampled=False).sampled is True


def test_content_is_kept_up_to_a_limit_and_only_of_what_is_sampled() -> None:
    assert trace(Parent(1, 2, False), content=True).content is False
    own = trace(content=True)
    for _ in range(3):
        own.keep(b"x" * (CONTENT_LIMIT // 2))
    assert len(own.answered) == CONTENT_LIMIT
