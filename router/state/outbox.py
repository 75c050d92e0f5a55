"""What is to be told to the siblings, kept until it is known to have arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from router.core.clock import Clock
from router.core.errors import FailureKind
from router.core.events import Cooled, Event, Recovered, Rejected
from router.core.filters import Reason
from router.core.load import BackendLoad
from router.state import telling
from router.state.exchange import Ages, Batch, Cooldown, Picture, Sample, ledger_name
from router.state.memory import MemoryStore
from router.state.spend import Spend

HEARS: tuple[type[Event], ...] = (Cooled, Recovered, Rejected)
AGES_EVERY = 1.0
"""Seconds between two tellings of when the last minute's requests came: only a death makes them matter."""
SAMPLES_EVERY = 0.5
"""Seconds between two tellings of the slowest that was measured."""
WANTED_FOR = 1.0
"""Seconds for which a request that was passed over a half-open backend shows that there is something to try it with."""
NEWS = 0.05
"""Seconds by which a cooldown must end later than was told of it to be told again: what many requests at once are told
by upstream is told to the siblings once."""
_REFUSED = frozenset({FailureKind.AUTH, FailureKind.QUOTA})

_Place = tuple[str, int | None]


class Outbox:
    """An observer of the replica's own events. `ahead`: seconds before a backend is half-open to ask for its trial."""

    def __init__(self, replica: str, store: MemoryStore, spend: Spend, clock: Clock, ahead: float) -> None:
        self._replica = replica
        self._store = store
        self._spend = spend
        self._clock = clock
        self._ahead = ahead
        self._turn = 0
        self._sequence = 0
        self._sent: Batch | None = None  # until its deltas are known to have been applied
        self._sent_places: set[_Place] = set()
        self._told: dict[_Place, float] = {}
        self._untold: set[_Place] = set()
        self._urgent: set[_Place] = set()  # each once, however often it is told of before it can be published
        self._some_urgent = asyncio.Event()
        self._wanted: dict[str, float] = {}
        self._recovered: set[str] = set()
        self._sent_recovered: tuple[str, ...] = ()
        self._aged_at = float("-inf")
        self._sampled_at = float("-inf")
        self._forgotten = False
        self.hurried = False
        """There is news since the last batch that siblings should not wait for."""
        self._earliest = 0.0
        self._due: asyncio.Future[None] | None = None
        self._names: dict[str, str] = {}
        self._names_of: Mapping[str, BackendLoad] | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Rejected):
            if event.reason is Reason.UNHEALTHY:
                self._wanted[event.group] = self._clock()
        elif isinstance(event, Cooled):
            self._cooled(event)
        elif isinstance(event, Recovered):
            backend = self._backend_of(event.deployment)
            if backend:
                self._recovered.add(backend)
                self.hurry()

    def batch(self) -> Batch:
        """The next to send: everything as it is now, and the deltas that were sent last until they have arrived."""
        now = self._clock()
        self._turn += 1
        self._told = {place: until for place, until in self._told.items() if until > now}
        if self._sent is None:
            self._sent = self._deltas(now)
        sent = self._sent
        self._sent_recovered = tuple(self._recovered)
        samples: Mapping[str, Sample] = {}
        if now - self._sampled_at >= SAMPLES_EVERY:
            self._sampled_at = now
            samples = telling.samples(self._store)
        ages: Mapping[str, Ages] | None = None
        if now - self._aged_at >= AGES_EVERY:
            self._aged_at = now
            ages = telling.ages(self._store, now) or None
        return sent._replace(
            turn=self._turn,
            uses=telling.uses(self._store, now),
            ages=ages,
            failing=telling.failing(self._store, now),
            trials=telling.trials(self._store, now, self._ahead, self._wanted_backends(now)),
            recovered=self._sent_recovered,
            samples=samples,
            cooldowns=[cooldown for place in self._sent_places if (cooldown := self._cooldown(place, now))],
        )

    def answered(self, picture: Picture) -> None:
        """The last batch has arrived, or at least its deltas have."""
        self._recovered.difference_update(self._sent_recovered)
        sent = self._sent
        if sent is not None and picture.acknowledged >= sent.sequence:
            self._sent = None
            self._sent_places = set()
            self._spend.told()
        self._spend.hear(picture.spent)
        for subject, spending in self._store.spending.items():
            if spending.page:
                total = self._spend.total(ledger_name(subject, spending.page))
                spending.spent = max(total + spending.untold.get(spending.page, 0.0), spending.spent)
        if picture.newcomer and self._turn > 1:
            self._forgotten = True
            self._untold.update(self._told)
            self._aged_at = float("-inf")

    async def urgent(self) -> Cooldown:
        """The next cooldown that siblings must hear of at once."""
        while True:
            await self._some_urgent.wait()
            while self._urgent:
                cooldown = self._cooldown(self._urgent.pop(), self._clock())
                if cooldown is not None:
                    return cooldown
            self._some_urgent.clear()

    async def wait(self, seconds: float, least: float = 0.0) -> None:
        """Until the next batch is due: in so many seconds, or, where there is news, in `least`."""
        loop = asyncio.get_running_loop()
        self._earliest = loop.time() + least
        due = self._due = loop.create_future()
        timer = loop.call_later(max(least if self.hurried else seconds, 0.0), _wake, due)
        try:
            await due
        finally:
            timer.cancel()
            self.hurried = False

    def hurry(self) -> None:
        """There is news that the siblings should not wait for."""
        if not self.hurried:
            self.hurried = True
            if self._due is not None and not self._due.done():
                asyncio.get_running_loop().call_at(self._earliest, _wake, self._due)

    def _deltas(self, now: float) -> Batch:
        for subject, spending in self._store.spending.items():
            if spending.untold:
                for page, dollars in spending.untold.items():
                    self._spend.add(ledger_name(subject, page), dollars)
                spending.untold = {}
        spent = self._spend.send()
        self._sent_places, self._untold = self._untold, set()
        known: Mapping[str, float] = {}
        if self._forgotten:
            known, self._forgotten = self._spend.known(), False
        if spent or known or self._sent_places:
            self._sequence += 1
        return Batch(self._replica, self._sequence, self._turn, spent=spent, known=known)

    def _cooled(self, event: Cooled) -> None:
        now = self._clock()
        place = (self._backend_of(event.deployment), event.slot)
        cooldown = self._cooldown(place, now)
        if cooldown is None:
            return
        until = now + cooldown.seconds
        if until > self._told.get(place, 0.0) + NEWS:
            self._told[place] = until
            self._untold.add(place)
            self._urgent.add(place)
            self._some_urgent.set()

    def _cooldown(self, place: _Place, now: float) -> Cooldown | None:
        """What upstream's word makes of a backend or one of its keys now; None where that is over."""
        backend, key = place
        load = self._store.loads.get(backend)
        if load is None:
            return None
        if key is None:
            until, refused = load.breaker.told_until, False
        else:
            until, refused = load.keys[key].until, load.keys[key].refused
        return Cooldown(backend, key, until - now, refused) if until > now else None

    def _wanted_backends(self, now: float) -> set[str]:
        if not self._wanted:
            return set()
        self._wanted = {group: at for group, at in self._wanted.items() if now - at < WANTED_FOR}
        return {
            each.deployment.backend for each in self._store.candidates() if each.deployment.model_name in self._wanted
        }

    def _backend_of(self, deployment: str) -> str:
        if self._names_of is not self._store.loads:
            self._names_of = self._store.loads
            self._names = {each.deployment.id: each.deployment.backend for each in self._store.candidates()}
        return self._names.get(deployment, "")  # a client's own deployment is nobody else's


def _wake(due: asyncio.Future[None]) -> None:
    if not due.done():
        due.set_result(None)
