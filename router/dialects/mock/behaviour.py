"""How the mock provider behaves: a frozen description, used by `provider: mock` and by `llm-router mock`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from random import Random

SPECIAL_STATUSES = ("429-bare", "429-quota", "400-context", "400-policy", "400-filter")
ACTIONS = ("ok", "hang", "stall", "reset", "truncate", "garbage", "empty", "error", "late-error", *SPECIAL_STATUSES)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Seconds, tokens per second, and what goes wrong.

    `script` is a list of steps, one per request and starting over at its end. A step is an HTTP status of an error,
    such as `503` or `429`, or one of

    - `ok`, and `empty` (a success without content)
    - `hang` (never answers), `stall` (stops in the middle of the body and keeps the connection open)
    - `reset` (resets the connection without a byte), `truncate` (closes it in the middle of the body)
    - `garbage` (bytes that are no HTTP)
    - `error` (a 200 whose body is an error), `late-error` (the same, in a stream after some content)
    - `429-bare` (without `retry-after`), `429-quota` (insufficient_quota), `400-context` (context_length_exceeded),
      `400-policy` (content_policy_violation), `400-filter` (Azure's content_filter)

    `failure_rate` is the share (0 to 1) of the requests that would be `ok` answered by `failure` instead.
    `output_tokens` is the length of a reply in words; 0 is as long as the text happens to be. `reply` is the text in
    place of the default one. `retry_after` (seconds) goes with every 429 (None: 1 s) and, if set, with every 5xx.
    `healthy` is what `/health` says. Raises ValueError for what cannot be played.
    """

    time_to_first_token: float = 0.0
    tokens_per_second: float = 0.0  # 0: as fast as possible
    output_tokens: int = 0
    script: tuple[str, ...] = ()
    failure_rate: float = 0.0
    failure: str = "503"
    retry_after: float | None = None
    rate_limit_headers: bool = False
    reply: str = ""
    healthy: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.script, (tuple, list)):
            raise ValueError(f"script is a list of steps, not {self.script!r}")
        object.__setattr__(self, "script", tuple(map(str, self.script)))  # YAML and JSON read 503 as a number
        object.__setattr__(self, "failure", str(self.failure))
        for step in (*self.script, self.failure):
            check_step(step)
        for name in ("time_to_first_token", "tokens_per_second", "output_tokens", "failure_rate", "retry_after"):
            value = getattr(self, name)
            if name == "retry_after" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
                raise ValueError(f"{name} is a number of 0 or more, not {value!r}")
        if not isinstance(self.output_tokens, int):
            raise ValueError(f"output_tokens is a whole number, not {self.output_tokens!r}")
        if self.failure_rate > 1:
            raise ValueError(f"failure_rate is a share between 0 and 1, not {self.failure_rate!r}")
        for name, kind in (("rate_limit_headers", bool), ("healthy", bool), ("reply", str)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} is a {kind.__name__}, not {getattr(self, name)!r}")

    def changed(self, changes: Mapping[str, object]) -> Behaviour:
        """This behaviour with some fields replaced. Raises ValueError for an unknown name or an unfit value."""
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                raise ValueError(f"unknown setting {name!r}; known are {', '.join(known)}")
        return replace(self, **changes)  # type: ignore[arg-type]

    def step(self, position: int, rng: Random) -> str:
        """The step of the request at `position` (from 0) in the script."""
        step = self.script[position % len(self.script)] if self.script else "ok"
        if step == "ok" and self.failure_rate and rng.random() < self.failure_rate:
            return self.failure
        return step


def check_step(step: str) -> None:
    """Raises ValueError, listing the known steps, for a step that is none."""
    if step in ACTIONS or (step.isascii() and step.isdigit() and 400 <= int(step) <= 599):
        return
    raise ValueError(f"unknown step {step!r}; known are an HTTP status from 400 to 599 and {', '.join(ACTIONS)}")


def parse_script(text: str) -> tuple[str, ...]:
    """The steps of `ok,503,hang`. Raises ValueError for an unknown one."""
    steps = tuple(step for step in (part.strip() for part in text.split(",")) if step)
    for step in steps:
        check_step(step)
    return steps
