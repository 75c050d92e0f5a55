"""The command: `python -m bench --only router,nginx --rounds 8 --measure requests,streams`."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from time import perf_counter

import uvloop

from bench import measure, report
from bench.contenders import CONTENDERS, Contender
from bench.record import Record
from bench.ring import Cores, Ring

MEASURES = ("requests", "latency", "streams", "sustained")


def arguments() -> argparse.Namespace:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="python -m bench", description="The router beside its peers, in one run.")
    parser.add_argument("--only", default=",".join(names), help="contenders (default: all that are installed)")
    parser.add_argument("--measure", default=",".join(MEASURES), help="of: %(default)s")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of each measure (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="of one sample (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 s: to see that it works, not how fast")
    options = parser.parse_args()
    options.only, options.measure = options.only.split(","), options.measure.split(",")
    for given, known in ((options.only, names), (options.measure, MEASURES)):
        for name in given:
            if name not in known:
                parser.error(f"unknown: {name}; there are {', '.join(known)}")
    if options.quick:
        options.rounds, options.seconds = 2, 1
    return options


async def run(options: argparse.Namespace, contenders: Sequence[Contender], record: Record, cores: Cores) -> None:
    by_name = {contender.name: contender for contender in contenders}
    begun = perf_counter()

    def say(text: str) -> None:
        print(f"{perf_counter() - begun:5.0f} s  {text}", file=sys.stderr, flush=True)

    for streaming in (False, True):
        wanted = [name for name in (MEASURES[2:] if streaming else MEASURES[:2]) if name in options.measure]
        if not wanted:
            continue
        with Ring(cores, streaming) as ring:
            say(f"starting {', '.join(by_name)}, for {' and '.join(wanted)}")
            await ring.start(contenders)
            record.started(ring)
            if "requests" in wanted:
                say("requests")
                chosen = measure.requests(ring, options.seconds)
                record.results["requests"] = await measure.rounds(ring, options.rounds, by_name, chosen, say)
            if "latency" in wanted:
                say("latency")
                chosen = measure.latency(options.seconds / 2)
                record.results["latency"] = await measure.rounds(ring, options.rounds, by_name, chosen, say)
            if streaming:
                say("streams")
                chosen = measure.streams(ring, options.seconds)
                number = options.rounds if "streams" in wanted else 1
                record.results["streams"] = await measure.rounds(ring, number, by_name, chosen, say)
            if "sustained" in wanted:
                say("sustained streams")
                guesses = measure.guesses(record.results["streams"], list(by_name))
                direct, *others = ring.runners
                for runner in (*[other for other in others if other.name in guesses], direct):
                    guess = guesses.get(runner.name) or max(record.sustained.values(), default=100)
                    record.sustained[runner.name] = await measure.sustained(ring, runner, guess)
                    say(f"{runner.name}: {record.sustained[runner.name]}")


def main() -> int:
    options = arguments()
    os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"
    missing = [program for program in ("nginx", "wrk") if shutil.which(program) is None]
    if missing:
        print(f"bench: needs {' and '.join(missing)}; on Debian: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 2
    try:
        cores = Cores.of_this_machine()
    except RuntimeError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    record = Record.of_this_machine(options.rounds, options.seconds)
    asked = [contender for contender in CONTENDERS if contender.name in options.only]
    for contender in asked:
        if contender.program() is None:
            record.failures[contender.name] = f"not there, or older than its source ({contender.made_by})"
        else:
            record.versions[contender.name] = contender.version()
    os.sched_setaffinity(0, cores.load)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(options, [each for each in asked if each.name in record.versions], record, cores))
    print(report.markdown(record))
    for path in report.write(record):
        print(f"written: {path}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
