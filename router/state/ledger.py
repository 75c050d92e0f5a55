"""What a medium keeps, and how it answers: in memory, pure, with the time handed in.

An exchange between the processes of one host can be made of it. Redis' script does the same, and the contract's tests
run over both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from router.state.exchange import LIFETIMES, Ages, Batch, Cooldown, Failing, Lifetimes, Picture, Sample, Use, kept_for


class Record:
    """What one replica last said. `at` in the ledger's seconds; `aged_at`: when it told `ages`."""

    __slots__ = ("_lifetimes", "aged_at", "ages", "at", "failing", "left", "samples", "turn", "uses")

    def __init__(self, lifetimes: Lifetimes) -> None:
        self._lifetimes = lifetimes
        self.at = 0.0
        self.turn = -1
        self.left = False
        self.uses: Mapping[str, Use] = {}
        self.ages: Mapping[str, Ages] = {}
        self.aged_at = 0.0
        self.failing: Mapping[str, Failing] = {}
        self.samples: Mapping[str, Sample] = {}

    def alive(self, now: float) -> bool:
        return not self.left and now - self.at < self._lifetimes.lease

    def used(self, now: float) -> Iterator[tuple[str, Use]]:
        """What it uses: with its claims while it lives, and afterwards what of the rest is still of the last minute."""
        if self.alive(now):
            for subject, use in self.uses.items():
                yield subject, use.claimed()
            return
        for subject, use in self.uses.items():
            requests, tokens = self.ages.get(subject, Ages())
            yield subject, Use(0, self._rest(use.requests, requests, now), self._rest(use.tokens, tokens, now))

    def _rest(self, total: int, ages: Sequence[int], now: float) -> int:
        """Whole parts at a time, the youngest of each deciding. What `ages` do not tell of came after them."""
        minute = self._lifetimes.minute
        if now - self.at >= minute:
            return 0
        rest = max(total - sum(ages), 0)
        for place, amount in enumerate(ages):
            if now - self.aged_at + place * minute / len(ages) < minute:
                rest += amount
        return rest


class Ledger:
    """`now` is in seconds of any clock, the same for all calls."""

    def __init__(self, lifetimes: Lifetimes = LIFETIMES) -> None:
        self._lifetimes = lifetimes
        self._records: dict[str, Record] = {}
        self._applied: dict[str, tuple[int, float]] = {}
        self._cooldowns: dict[tuple[str, int | None], tuple[float, bool]] = {}
        self._recovered: dict[str, tuple[float, str]] = {}
        self._trials: dict[str, tuple[str, float]] = {}
        self._spent: dict[str, tuple[float, float]] = {}

    def trade(self, batch: Batch, now: float) -> Picture:
        """Take in a batch; what its replica is to know."""
        self._forget(now)
        record = self._records.get(batch.replica)
        newcomer = record is None
        since = float("-inf") if record is None else record.at
        if record is None:
            record = self._records[batch.replica] = Record(self._lifetimes)
        self._take(record, batch, now)
        acknowledged = self._apply(batch, now)
        self._grant(batch, now)
        siblings = [each for name, each in self._records.items() if name != batch.replica]
        return Picture(
            acknowledged,
            newcomer,
            1 + sum(each.alive(now) for each in siblings),
            _sum(siblings, now),
            [Cooldown(*place, until - now, refused) for place, (until, refused) in self._cooldowns.items()],
            self._openings(now),
            {backend: now - at for backend, (at, by) in self._recovered.items() if by != batch.replica and at >= since},
            {backend: until - now for backend, (by, until) in self._trials.items() if by != batch.replica},
            _samples(siblings, since),
            {name: total for name, (total, at) in self._spent.items() if at >= since},
        )

    def cool(self, cooldown: Cooldown, now: float) -> None:
        """Keep a cooldown. A later end wins."""
        place = (cooldown.backend, cooldown.key)
        until = now + cooldown.seconds
        known = self._cooldowns.get(place)
        if known is None or known[0] < until:
            self._cooldowns[place] = (until, cooldown.refused)

    def leave(self, replica: str) -> None:
        """The replica has gone, and says so. What it has used of the limits counts on."""
        record = self._records.get(replica)
        if record is not None:
            record.left = True
        for backend in [backend for backend, (by, _) in self._trials.items() if by == replica]:
            del self._trials[backend]

    def _take(self, record: Record, batch: Batch, now: float) -> None:
        if batch.turn < record.turn:
            return
        record.turn, record.at, record.left = batch.turn, now, False
        record.uses, record.failing, record.samples = batch.uses, batch.failing, batch.samples
        if batch.ages is not None:
            record.ages, record.aged_at = batch.ages, now
        for backend in batch.recovered:
            self._recovered[backend] = (now, batch.replica)

    def _apply(self, batch: Batch, now: float) -> int:
        """The deltas, once for each sequence."""
        for name, total in batch.known.items():
            if total > self._spent.get(name, (0.0, now))[0]:
                self._spent[name] = (total, now)
        last, _ = self._applied.get(batch.replica, (0, now))
        if batch.sequence > last:
            for name, amount in batch.spent.items():
                self._spent[name] = (self._spent.get(name, (0.0, now))[0] + amount, now)
            for cooldown in batch.cooldowns:
                self.cool(cooldown, now)
            last = batch.sequence
        self._applied[batch.replica] = (last, now)
        return last

    def _grant(self, batch: Batch, now: float) -> None:
        """A trial is one replica's at a time: while it is under way, or until the offer is over."""
        for backend, (by, _) in list(self._trials.items()):
            if by == batch.replica and backend not in batch.trials:
                del self._trials[backend]
        for backend, under_way in batch.trials.items():
            holder = self._trials.get(backend)
            if holder is None or (under_way and holder[0] == batch.replica):
                self._trials[backend] = (
                    batch.replica,
                    now + (self._lifetimes.trial if under_way else self._lifetimes.offer),
                )

    def _openings(self, now: float) -> dict[str, float]:
        """What two replicas saw fail, and one at least has opened its breaker on, the failures since the last recovery
        counting."""
        seen: dict[str, int] = {}
        until: dict[str, float] = {}
        for record in self._records.values():
            if not record.alive(now):
                continue
            for backend, (open_for, age) in record.failing.items():
                recovered = self._recovered.get(backend)
                if recovered is None or record.at - age > recovered[0]:
                    seen[backend] = seen.get(backend, 0) + 1
                    until[backend] = max(until.get(backend, 0.0), record.at + open_for)
        return {backend: end - now for backend, end in until.items() if seen[backend] > 1 and end > now}

    def _forget(self, now: float) -> None:
        lease, minute = self._lifetimes.lease, self._lifetimes.minute
        self._records = {name: record for name, record in self._records.items() if now - record.at < minute + lease}
        self._applied = {name: kept for name, kept in self._applied.items() if now - kept[1] < self._lifetimes.sequence}
        self._cooldowns = {place: kept for place, kept in self._cooldowns.items() if kept[0] > now}
        self._recovered = {name: kept for name, kept in self._recovered.items() if now - kept[0] < minute}
        self._trials = {name: kept for name, kept in self._trials.items() if kept[1] > now}
        self._spent = {name: kept for name, kept in self._spent.items() if now - kept[1] < kept_for(name)}


def _sum(records: Sequence[Record], now: float) -> dict[str, Use]:
    found: dict[str, Use] = {}
    for record in records:
        for subject, use in record.used(now):
            known = found.get(subject)
            found[subject] = use if known is None else Use(*map(int.__add__, known, use))
    return {subject: use for subject, use in found.items() if any(use)}


def _samples(records: Sequence[Record], since: float) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for record in records:
        if record.at >= since:
            for backend, sample in record.samples.items():
                found.setdefault(backend, []).append(sample)
    return found
