"""The measures. Each takes one sample of one contender in one round; `rounds` interleaves them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from time import perf_counter
from typing import Self

from bench.client import Streams, at_rate
from bench.contenders import RATE, STREAMS, Contender
from bench.payload import EVENTS_PER_SECOND
from bench.process import core_busy
from bench.ring import Ring, Runner
from bench.stats import percentile
from bench.wrk import burst

CONNECTIONS = 32
TOLERATED = 0.001  # share of requests that may fail in a round

Sample = dict[str, float]
Measure = Callable[[Runner, Contender | None], Awaitable[Sample]]


class Failed(Exception):
    """A contender that does not do what the measure asks of it."""


@dataclass(slots=True)
class Results:
    """Samples by contender and round; None where a round failed."""

    samples: dict[str, list[Sample | None]]
    failures: dict[str, str]

    def column(self, name: str, key: str) -> list[float | None]:
        return [sample.get(key) if sample else None for sample in self.samples.get(name, [])]

    def missed(self, name: str) -> int:
        """Rounds without a sample."""
        return sum(sample is None for sample in self.samples[name])

    def middle(self, name: str, key: str) -> float | None:
        values = [value for value in self.column(name, key) if value is not None]
        return median(values) if values else None


@dataclass(frozen=True, slots=True)
class Watch:
    """What the clock, the contender's processor time and that of its whole core said when a sample began."""

    clock: float
    cpu: float
    core: float

    @classmethod
    def begin(cls, runner: Runner, core: int) -> Self:
        return cls(perf_counter(), runner.cpu(), core_busy(core))

    def end(self, runner: Runner, core: int, served: int) -> Sample:
        """Processor time for each of what was served, and the shares of the core that went to it and to others."""
        elapsed, cpu = perf_counter() - self.clock, runner.cpu() - self.cpu
        others = max(0.0, core_busy(core) - self.core - cpu)
        return {"elapsed": elapsed, "cpu": cpu / served, "busy": cpu / elapsed, "others": others / elapsed}


async def rounds(
    ring: Ring, number: int, contenders: Mapping[str, Contender], measure: Measure, say: Callable[[str], None]
) -> Results:
    """Every contender once a round, in an order drawn anew each round. Who fails twice is not asked again."""
    rng, failed = Random(number), dict[str, int]()
    results = Results({runner.name: [] for runner in ring.runners}, {})
    for turn in range(number):
        for runner in rng.sample(ring.runners, len(ring.runners)):
            sample: Sample | None = None
            if failed.get(runner.name, 0) < 2:
                try:
                    with runner.turn():
                        sample = await measure(runner, contenders.get(runner.name))
                except (Failed, RuntimeError, OSError, ExceptionGroup) as error:
                    failed[runner.name] = failed.get(runner.name, 0) + 1
                    results.failures[runner.name] = " ".join(str(error).split())[:300]
            results.samples[runner.name].append(sample)
        say(f"round {turn + 1} of {number}")
    return results


def requests(ring: Ring, seconds: int) -> Measure:
    """As many requests as it answers over 32 connections."""

    async def measure(runner: Runner, contender: Contender | None) -> Sample:
        script = ring.work / f"{runner.name}.lua"
        core = ring.cores.contender
        stretch = contender.stretch if contender else 1
        await runner.quiet()
        await asyncio.to_thread(burst, runner.target, 1, CONNECTIONS, script)
        await runner.quiet()
        watch = Watch.begin(runner, core)
        seen = await asyncio.to_thread(burst, runner.target, seconds * stretch, CONNECTIONS, script)
        if seen.failed > TOLERATED * seen.requests or not seen.requests:
            raise Failed(f"{seen.failed} of {seen.requests} requests failed")
        return {
            **watch.end(runner, core, seen.requests),
            "per_second": seen.requests / seen.seconds,
            "p50": seen.p50,
            "p99": seen.p99,
            "rss": float(runner.process.rss()) if runner.process else 0.0,
        }

    return measure


def latency(seconds: float) -> Measure:
    """Requests at a fixed, moderate rate."""

    async def measure(runner: Runner, contender: Contender | None) -> Sample:
        rate = contender.rate if contender else RATE
        await runner.quiet()
        await at_rate(runner.target, rate, 0.3)
        took, failed = await at_rate(runner.target, rate, seconds)
        if failed or not took:
            raise Failed(f"{failed} of {round(rate * seconds)} requests failed")
        return {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "rate": float(rate)}

    return measure


async def streamed(ring: Ring, runner: Runner, number: int, seconds: float) -> Sample:
    """So many streams at once, for so long after the last of them has begun."""
    opening, core = 0.5, ring.cores.contender
    events = round((opening + seconds + 0.5) * EVENTS_PER_SECOND)
    await runner.quiet()
    streams = Streams(runner.target, number, events)
    try:
        await streams.open(opening)
        if streams.failure or streams.started < number:
            raise Failed(streams.failure or f"{number - streams.started} of {number} streams had no event within 3 s")
        gaps = streams.record_gaps()
        watch, counted = Watch.begin(runner, core), streams.received()
        await asyncio.sleep(seconds)
        received = streams.received() - counted
        sample = watch.end(runner, core, max(1, received))
    finally:
        await streams.finish(10)
    if streams.failure:
        raise Failed(streams.failure)
    first = [stream.first for stream in streams.streams if stream.first is not None]
    if not received:
        raise Failed("no events arrived")
    return {
        **sample,
        "delivered": received / (number * EVENTS_PER_SECOND * sample["elapsed"]),
        "gap_p99": percentile(gaps, 0.99),
        "first_p50": percentile(first, 0.5),
        "first_p99": percentile(first, 0.99),
        "streams": float(number),
    }


def streams(ring: Ring, seconds: float) -> Measure:
    """Many streams, each with an event every 25 ms."""

    async def measure(runner: Runner, contender: Contender | None) -> Sample:
        number = contender.streams if contender else STREAMS
        return await streamed(ring, runner, number, seconds)

    return measure


async def sustained(ring: Ring, runner: Runner, guess: float, seconds: float = 1.5) -> int:
    """The largest number of streams found at which 98 % of the events arrive in time, with gaps (p99) under 100 ms.

    Begins at `guess`, then goes up or down by an eighth at a time.
    """

    async def bears(number: int) -> bool:
        try:
            sample = await streamed(ring, runner, number, seconds)
        except (Failed, OSError):
            return False
        return sample["delivered"] >= 0.98 and sample["gap_p99"] <= 0.1

    number = max(2, round(guess))
    with runner.turn():
        if not await bears(number):
            while number > 1:
                number = min(number - 1, round(number / 1.125))
                if await bears(number):
                    return number
            return 0
        while await bears(more := max(number + 1, round(number * 1.125))):
            number = more
        return number


def guesses(results: Results, names: Sequence[str]) -> dict[str, float]:
    """Three quarters of the streams that one core bears by its processor time per event."""
    costs = {name: results.middle(name, "cpu") for name in names}
    return {name: 0.75 / (cost * EVENTS_PER_SECOND) for name, cost in costs.items() if cost}
