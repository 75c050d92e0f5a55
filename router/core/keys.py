"""The health of one API key.

    well ──(429, refusal)──▶ resting ──(its time is over)──▶ on trial ──(a good answer)──▶ well
                                ▲                                │
                                └────────(429, refusal)──────────┘

A key that comes back is tried by one request at a time, or everybody who finds it idle would meet the same 429. The
trial ends with the head of its answer; the others go elsewhere meanwhile. Times are seconds of the clock handed in.
"""

from __future__ import annotations

from router.core.quota import Quota

BASE = 5.0
"""Seconds a key rests after a 429 that named no time; doubles with every further one."""
TRIAL = 1.0
"""Seconds for which the first request after a rest has the key to itself. Who limits a rate says so at once: each one
that is still under way by then was let in, most likely, and the next has the key for half as long."""
_MOST_DOUBLINGS = 16


class KeyHealth:
    """`until`: others stay away, for a rest or a trial. `streak`: the rests since it last did well, so above 0 while it
    rests and while it is on trial; `trials`: those begun since the last rest.

    `refused`: it rests because upstream would not have it, or its account is out of money. `quota`: what upstream says
    is left of its limits; None until it has said so.
    """

    __slots__ = ("quota", "refused", "streak", "trials", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.streak = 0
        self.trials = 0
        self.refused = False
        self.quota: Quota | None = None

    def cool(self, now: float, seconds: float | None, longest: float) -> float:
        """Rest for `seconds`, or for 5 s doubling up to `longest`; a later end wins. Returns the seconds from now.

        What is told of a key at rest was sent before the rest began: it is no further reason to double.
        """
        if self.trials or self.until <= now:
            self.streak += 1
            self.trials = 0
            self.until = now
        if seconds is None:
            seconds = min(BASE * 2.0 ** min(max(self.streak - 1, 0), _MOST_DOUBLINGS), longest)
        self.until = max(self.until, now + seconds)
        return self.until - now

    def hear(self, until: float, refused: bool) -> None:
        """A sibling was told to leave it alone until then."""
        self.until, self.refused = until, refused
        self.streak = max(self.streak, 1)
        self.trials = 0

    def attempt(self, now: float) -> float:
        """A request is sent with a key that has not done well since it rested. Returns until when it is to have the key
        to itself, which names the trial; 0.0 where the rest is not over, so that this is none."""
        if self.until > now:
            return 0.0
        self.until = now + TRIAL * 0.5 ** min(self.trials, _MOST_DOUBLINGS)
        self.trials += 1
        return self.until

    def did_well(self, now: float) -> None:
        """A trial has been answered well; old news where the key rests again."""
        if self.trials:
            self.until = min(self.until, now)
            self.streak = self.trials = 0
            self.refused = False

    def give_back(self, trial: float, now: float, *, sent: bool) -> None:
        """A trial ended without telling anything: the next request may try, for half as long; where it had been sent to
        nobody, for as long."""
        if self.trials and self.until == trial:
            self.until = now
            if not sent:
                self.trials -= 1
