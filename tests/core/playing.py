"""Plays one request against scripted upstreams, and writes down what happened: one line a step."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from router.core.errors import FailureKind, RouterError, UpstreamFailure
from router.core.failover import Failover, Stop, Try, Wait
from router.core.filters import Reason
from router.core.retry import Health
from router.core.types import RouteRequest
from router.state.base import SUCCESS, Outcome
from tests.core.making import World, request

FIRST_COME = 1e-6

FACTS: Mapping[str, tuple[FailureKind, int | None]] = {
    "connect": (FailureKind.CONNECT, None),
    "timeout": (FailureKind.ATTEMPT_TIMEOUT, None),
    "500": (FailureKind.SERVER_ERROR, 500),
    "503": (FailureKind.SERVER_ERROR, 503),
    "429": (FailureKind.RATE_LIMITED, 429),
    "quota": (FailureKind.QUOTA, 429),
    "401": (FailureKind.AUTH, 401),
    "404": (FailureKind.NOT_FOUND, 404),
    "window": (FailureKind.CONTEXT_WINDOW, 400),
    "policy": (FailureKind.CONTENT_POLICY, 400),
    "400": (FailureKind.REJECTED, 400),
    "junk": (FailureKind.BAD_REPLY, 200),
    "broken": (FailureKind.DISCONNECTED, None),
}


def failure(word: str) -> UpstreamFailure:
    """`503` or, with upstream's `retry-after`, `503:2`."""
    name, _, seconds = word.partition(":")
    kind, status = FACTS[name]
    wish = float(seconds) if seconds else None
    return UpstreamFailure(kind, name, status=status, retry_after=wish, sent_bytes=name == "broken")


class Middle(Random):
    """Half of every jitter."""

    def random(self) -> float:
        return 0.5


class Play:
    """`script` says what each deployment answers, in order; the last answer is repeated. Unnamed ones answer `ok`.

    A step takes no time, but for the `seconds` that an attempt is said to take. Where round-robin chooses, the ones
    listed first come first.
    """

    def __init__(
        self, world: World, script: Mapping[str, str], rng: Random | None = None, seconds: float = 0.0
    ) -> None:
        self.world = world
        self.script = {name: answers.split() for name, answers in script.items()}
        self.seconds = seconds
        self.rng = rng or Middle()
        self.lines: list[str] = []
        self.rejections: list[tuple[str, Reason]] = []
        self.counted: list[tuple[str, str]] = []
        self.error: RouterError | None = None
        self.failover: Failover | None = None
        for place, each in enumerate(world.store.candidates()):
            each.load.turns.setdefault(each.deployment.model_name, place * FIRST_COME)

    def run(self, asked: RouteRequest | None = None, model: str = "gpt") -> list[str]:
        asked = asked or request(deadline=self.world.clock.now + 3600.0)
        failover = self.failover = Failover(
            asked,
            self.world.group(model),
            self.world.catalogue,
            self.rng,
            lambda found: self.rejections.extend((each.candidate.deployment.id, each.reason) for each in found),
        )
        here = failover.first
        for _ in range(1000):
            step = failover.next(self.world.store.view())
            if isinstance(step, Wait):
                self.lines.append(f"wait {step.seconds:g}")
                self.world.clock.advance(step.seconds)
            elif isinstance(step, Stop):
                self.error = step.error
                self.lines.append(f"stop {step.error.status} {step.error.code}")
                return self.lines
            elif isinstance(step, Try):
                if step.group is not here:
                    here = step.group
                    self.lines.append(f"to {here.name}: {failover.fallback}")
                if self.attempt(step, failover):
                    return self.lines
        raise AssertionError(f"no end in sight: {self.lines[:20]}")

    def attempt(self, step: Try, failover: Failover) -> bool:
        name = step.candidate.deployment.id
        lease = self.world.store.acquire(step.group, step.candidate, failover.request.estimate, step.draw)
        answers = self.script.get(name, ["ok"])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.lines.append(f"{name} {answer}")
        self.world.clock.advance(self.seconds)
        if answer == "ok":
            self.world.store.settle(lease, SUCCESS)
            return True
        told = failure(answer)
        verdict = failover.failed(step, told)
        if step.counts and verdict.health in (Health.FAILURE, Health.CONNECTION_FAILURE):
            self.counted.append((step.group.name, name))
        self.world.store.settle(lease, Outcome(verdict.health, told.kind, told.retry_after, step.counts))
        return False


def play(world: World, script: Mapping[str, str], asked: RouteRequest | None = None) -> list[str]:
    return Play(world, script).run(asked)


def steps(text: str) -> list[str]:
    """A transcript as it is written in a test: one step a line, or several with commas between."""
    return [step.strip() for step in text.replace("\n", ",").split(",") if step.strip()]
