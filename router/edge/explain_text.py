"""An explanation as text, for the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def text_of(told: Mapping[str, Any]) -> str:
    """`told` is what `explain.document` gives."""
    return "\n".join(_lines(told))


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    estimate, bounds = told["estimate"], told["bounds"]
    name = told["model"]
    if name != told["group"]:
        name += f" ({'alias of' if told['alias'] else 'matches'} {told['group']})"
    yield f"model      {name}, {told['kind']}{', streamed' if told['stream'] else ''}"
    yield (
        f"estimate   {estimate['prompt_tokens']} prompt tokens, {estimate['output_tokens']:g} output tokens, "
        f"{_dollars(estimate['cost'])}"
    )
    yield f"bounds     {bounds['num_retries']} retries a group, {bounds['max_attempts']} attempts in all"
    yield f"decision   {_decision(told['decision'])}"
    for kind, chain in told["fallbacks"].items():
        if chain:
            yield f"fallbacks  {kind.replace('_', ' ')}: {' → '.join(chain)}"
    for name, group in told["groups"].items():
        yield ""
        budget = group["retry_budget"]
        yield f"{name}, by {group['strategy']}" + (f", {budget['left']:g} retries paid for" if budget else "")
        if group["hedging"]:
            yield f"  {_hedging(group['hedging'])}"
        yield from _table([_row(candidate) for candidate in group["candidates"]])


def _decision(decision: Mapping[str, Any]) -> str:
    if decision["action"] == "refuse":
        error = decision["error"]
        return f"refused with {error['status']} {error['code']}: {error['message']}"
    if decision["fallback"]:
        return f"goes to {decision['group']}, as a {decision['fallback'].replace('_', ' ')} fallback"
    return f"goes to {decision['group']}"


def _hedging(hedging: Mapping[str, Any]) -> str:
    if hedging["after"] is None:
        return "hedged once enough times to first token are known"
    return f"hedged after {hedging['after']:.3g} s without a token; {hedging['copies_saved']:.3g} copies saved up"


def _row(candidate: Mapping[str, Any]) -> list[str]:
    if candidate["rejected"]:
        chance = candidate["rejected"]
    elif candidate["inputs"] is None:
        chance = "later tier"
    else:
        chance = f"{candidate['probability']:.1%}"
    if candidate["copy_probability"]:
        chance += f", copy {candidate['copy_probability']:.1%}"
    score = "" if candidate["score"] is None else f"score {candidate['score']:.4g}"
    inputs = ", ".join(f"{name} {_value(value)}" for name, value in (candidate["inputs"] or {}).items())
    return [
        candidate["deployment"],
        f"tier {candidate['priority']}",
        chance,
        score,
        _dollars(candidate["cost"]),
        inputs,
    ]


def _table(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _value(value: float | str | None) -> str:
    if value is None:
        return "unknown"
    return value if isinstance(value, str) else f"{value:.4g}"


def _dollars(cost: float | None) -> str:
    return "cost unknown" if cost is None else f"${cost:.6f}"
