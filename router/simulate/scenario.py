"""Reads the file that says how each deployment would serve: a small YAML, keyed by deployment id."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from router.config.expand import Expander
from router.config.fields import Amount, Name, Positive, Seconds, SecondsOrZero, Section, without_nulls
from router.config.positions import read
from router.config.problems import Problems, did_you_mean
from router.config.wording import message_of, path_of
from router.core.errors import ConfigError
from router.core.simulator.model import FOREVER, MachineModel, Outage, OutageKind, Scenario, SlowDown

Rate = Annotated[float, Field(strict=True, gt=0, le=1e9)]


class _Span(Section, populate_by_name=True):
    """Seconds of the simulation, from its first request on."""

    start: SecondsOrZero = Field(alias="from")
    until: Seconds | None = None
    """Null: to the end."""

    @model_validator(mode="after")
    def _in_order(self) -> _Span:
        if self.until is not None and self.until <= self.start:
            raise ValueError("until must be later than from")
        return self

    @property
    def end(self) -> float:
        return FOREVER if self.until is None else self.until


class OutageSettings(_Span):
    """A time of failure."""

    kind: Literal["refuse", "hang", "503", "429"] = "503"
    retry_after: Seconds | None = None
    """Seconds named by a 503 or 429."""


class SlowDownSettings(_Span):
    """A time in which everything takes longer."""

    factor: Rate


class MachineSettings(Section):
    """One deployment; see `MachineModel`."""

    slots: Positive = 32
    prefill: Rate = 8000.0
    decode: Rate = 50.0
    latency: SecondsOrZero = 0.05
    jitter: Amount = 0.0
    rpm: Positive | None = None
    tpm: Positive | None = None
    outages: tuple[OutageSettings, ...] = ()
    slow_downs: tuple[SlowDownSettings, ...] = ()


class ScenarioSettings(Section):
    """The whole file."""

    defaults: MachineSettings = MachineSettings()
    """For deployments without an entry, and for what an entry leaves out."""
    deployments: dict[Name, MachineSettings] = Field(default_factory=dict)
    """By id."""

    _empty = model_validator(mode="before")(without_nulls)


def read_scenario(path: Path, ids: Collection[str]) -> Scenario:
    """The scenario in a file. `ids` are those of the deployments there are: an entry for another one is an error.

    Raises ConfigError with every problem found, as `file:line:column`.
    """
    problems = Problems(str(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError([f"{path}: cannot read the scenario: {reason}"]) from None
    problems.document = document = read(text)
    for fault in document.faults:
        problems.add_fault(fault)
    data = Expander({}, path.parent, problems.add).plain(document.root)
    settings = ScenarioSettings()
    try:
        settings = ScenarioSettings.model_validate({} if data is None else data)
    except ValidationError as invalid:
        for detail in invalid.errors(include_url=False):
            problems.add(path_of(detail), message_of(detail), key=detail["type"] == "extra_forbidden")
    for name in settings.deployments:
        if name not in ids:
            problems.add(("deployments", name), f"no deployment has this id{did_you_mean(name, sorted(ids))}", key=True)
    if problems:
        raise ConfigError(problems.lines())
    given = settings.defaults.model_dump(include=settings.defaults.model_fields_set)
    return Scenario(
        _model(settings.defaults),
        {
            name: _model(MachineSettings.model_validate({**given, **entry.model_dump(include=entry.model_fields_set)}))
            for name, entry in settings.deployments.items()
        },
    )


def _model(settings: MachineSettings) -> MachineModel:
    return MachineModel(
        slots=settings.slots,
        prefill=settings.prefill,
        decode=settings.decode,
        latency=settings.latency,
        jitter=settings.jitter,
        rpm=settings.rpm,
        tpm=settings.tpm,
        outages=tuple(Outage(one.start, one.end, OutageKind(one.kind), one.retry_after) for one in settings.outages),
        slow_downs=tuple(SlowDown(one.start, one.end, one.factor) for one in settings.slow_downs),
    )
