"""Batches and pictures as JSON, with times in whole milliseconds: what travels between a replica and its medium."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from router.state.exchange import Batch, Cooldown, Picture, Sample, Use

_NOTHING = -1
"""In place of None in lists, which Lua would cut short there."""


def batch_to_json(batch: Batch) -> tuple[bytes, bytes, bytes]:
    """All but what is passed on as it is; what is failing; and what is used, as one flat list."""
    told: dict[str, Any] = {
        "sequence": batch.sequence,
        "turn": batch.turn,
        "trials": batch.trials,
        "recovered": batch.recovered,
        "samples": {backend: _flat(sample) for backend, sample in batch.samples.items()},
        "spent": batch.spent,
        "cooldowns": [(place_of(each), _ms(each.seconds), int(each.refused)) for each in batch.cooldowns],
        "known": batch.known,
    }
    if batch.ages is not None:
        told["ages"] = batch.ages
    failing = {backend: (_ms(open_for), _ms(age)) for backend, (open_for, age) in batch.failing.items()}
    uses: list[str | int] = []
    for subject, use in batch.uses.items():
        uses.append(subject)
        uses.extend(use)
    return orjson.dumps(told, default=_plain), orjson.dumps(failing), orjson.dumps(uses)


def picture_from_json(text: bytes) -> Picture:
    """Raises ValueError and its kin on what is no picture."""
    told = orjson.loads(text)
    told = {name: value or {} for name, value in told.items()}  # to Lua, an empty list and an empty mapping are one
    return Picture(
        int(told["acknowledged"] or 0),
        bool(told["newcomer"]),
        int(told["live"]),
        _uses(told["uses"]),
        [cooldown_of(*each) for each in told["cooldowns"]],
        _seconds(told["openings"]),
        _seconds(told["recovered"]),
        _seconds(told["held"]),
        {backend: [_sample(*each) for each in samples] for backend, samples in told["samples"].items()},
        {name: float(total) for name, total in told["spent"].items()},
    )


def _uses(flat: Iterable[Any]) -> dict[str, Use]:
    each = iter(flat)
    fours = zip(each, each, each, each, strict=True)
    return {subject: Use(int(in_flight), int(requests), int(tokens)) for subject, in_flight, requests, tokens in fours}


def place_of(cooldown: Cooldown) -> str:
    """What a cooldown is kept by: the backend, and the position of the key, if it is one key's."""
    return f"{cooldown.backend}:{'' if cooldown.key is None else cooldown.key}"


def cooldown_of(place: str, milliseconds: float, refused: float) -> Cooldown:
    backend, _, key = place.rpartition(":")
    return Cooldown(backend, int(key) if key else None, milliseconds / 1000.0, bool(refused))


def _plain(value: object) -> object:
    """What orjson does not take as it is: named tuples, and mappings that are no dict."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(type(value).__name__)


def _flat(sample: Sample) -> tuple[float, float, float, float]:
    return (*(sample.first_token or (0, _NOTHING)), *(sample.whole or (0, _NOTHING)))


def _sample(prompt_tokens: float, first_token: float, output_tokens: float, whole: float) -> Sample:
    return Sample(
        None if first_token == _NOTHING else (int(prompt_tokens), first_token),
        None if whole == _NOTHING else (int(output_tokens), whole),
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000.0)


def _seconds(told: Mapping[str, float]) -> dict[str, float]:
    return {name: milliseconds / 1000.0 for name, milliseconds in told.items()}
