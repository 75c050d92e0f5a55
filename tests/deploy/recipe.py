"""A Dockerfile, read far enough to follow it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: `base` and its steps, (instruction, the rest of the line), lines joined, ARGs filled in."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def said(self, instruction: str) -> str:
        """What the last such instruction says."""
        return [words for name, words in self.steps if name == instruction][-1]


def stages(text: str) -> list[Stage]:
    """Its stages. Knows ARGs, at their defaults, comments and continued lines, and that is all."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if not instruction:
            continue
        if instruction == "ARG":
            name, _, value = rest.partition("=")
            arguments.setdefault(name, value)
        elif instruction == "FROM":
            base, _, name = _filled(rest, arguments).partition(" AS ")
            found.append(Stage(name, base))
        else:
            found[-1].steps.append((instruction, _filled(rest, arguments)))
    return found


def _filled(words: str, arguments: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], words)
