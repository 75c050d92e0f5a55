"""Settings that are known but do nothing yet. One that is given is refused, never ignored; its default passes.

Whoever builds a feature deletes its lines here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from router.config.document import Path
from router.config.fields import Section
from router.config.problems import Problems, did_you_mean, listed
from router.config.schema import Settings
from router.config.schema_routing import RoutingSettings

UNBUILT: Mapping[str, str] = MappingProxyType(
    {
        "server.admin_port": "a port for administration",
    }
)

PLANNED_PROVIDERS = ("openai", "azure", "anthropic", "gemini", "vertex", "bedrock", "sagemaker", "huggingface", "mock")
INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        "ollama": "use openai, whose wire format it speaks",
    }
)


def check_unbuilt(settings: Settings, problems: Problems) -> None:
    for pattern, feature in UNBUILT.items():
        for path in _given(settings, tuple(pattern.split(".")), ()):
            problems.add(path, f"{feature} is not built yet; remove this setting", key=True)


def check_choice(
    path: Path, value: str, known: Collection[str], planned: Collection[str], what: str, problems: Problems
) -> bool:
    """Whether `value` is one of `known`, the names of an open set. Reports it where not."""
    if value in known:
        return True
    names = sorted(known)
    if value in planned or value in INSTEAD:
        instead = f"; {INSTEAD[value]}" if value in INSTEAD else ""
        state = "not built yet" if value in planned else f"no {what}"
        problems.add(path, f"{value} is {state}{instead}; known are {listed(names)}")
    else:
        problems.add(path, f"unknown {what}: {problems.shown(path, value)}{did_you_mean(value, names)}")
    return False


def _given(value: Any, steps: tuple[str, ...], path: Path) -> Iterable[Path]:
    """The paths of settings that `steps` leads to from `value` and that are not at their default."""
    step, rest = steps[0], steps[1:]
    if step == "*":
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _given(item, rest, (*path, key))
        return
    if not isinstance(value, Section):
        return
    found = getattr(value, step)
    if rest:
        yield from _given(found, rest, (*path, step))
    elif found is not None and found not in _defaults(type(value), step):
        yield (*path, step)


def _defaults(section: type[Section], name: str) -> list[Any]:
    """A model's overrides default to null, and to do nothing must be what `routing` has by default."""
    fields = [section.model_fields[name]]
    if name in RoutingSettings.model_fields and section is not Settings:
        fields.append(RoutingSettings.model_fields[name])
    return [field.get_default(call_default_factory=True) for field in fields]
