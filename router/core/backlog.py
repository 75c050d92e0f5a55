"""How long a stream would wait at one backend before its prompt is begun with, learned from those that were sent there.

Most backends answer a number of requests side by side and let the others wait in order. Neither the number nor the
speed is told; but a first token that comes much later than the prompt's length explains was waited for, and at that
moment whatever is under way without waiting is all that the backend has room for. The time from one such first token to
the next is how long the front of the queue takes to move by one. So

    wait = max(requests under way + 1 − room, 0) × pace

This is the queue-length delay estimator (Ibrahim and Whitt, "Real-Time Delay Estimation Based on Delay History", 2009)
with both of its parameters measured. A backend that never lets anyone wait is one with room for whatever it has had.
"""

from __future__ import annotations

LATE = 1.2
"""A first token that takes this many times longer than is usual for its prompt has been waited for."""
STEP = 0.1
"""How far one late first token moves the room towards what it shows."""
PACE_SAMPLES = 100
"""The pace is a mean over about so many of the last late ones."""
_NEVER = float("-inf")


class Backlog:
    """Of one backend, as one replica sees it. Times in clock seconds.

    `waiting` are this replica's streams that have not begun, `room` the requests, of all replicas, that are served side
    by side; `pace` in seconds.
    """

    __slots__ = ("_answered_at", "_late", "_newest", "pace", "room", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.room = 1.0
        self.pace = 0.0
        self._late = 0
        self._answered_at = _NEVER
        self._newest = _NEVER

    def sent(self, under_way: int) -> float:
        """One more stream has been sent, and is one of so many under way. How many are ahead of it, as far as known:
        waiting, or more than there is room for."""
        ahead = max(self.waiting, under_way - self.room, 0.0)
        self.waiting += 1
        return ahead

    def gone(self) -> None:
        """One that waited is over without an answer."""
        self.waiting -= 1

    def answered(self, now: float, sent_at: float, usual: float, in_flight: int, siblings: int) -> None:
        """One that waited is answered: its first token has come. `usual` seconds are what its prompt takes an idle
        backend; `in_flight` and `siblings` as in `BackendLoad`."""
        self.waiting -= 1
        # The others' requests should be like ours: as many times as there are more of all, as many are served.
        scale = (in_flight + siblings) / in_flight
        served = (in_flight - self.waiting) * scale
        if now - sent_at > LATE * usual:
            self._late = min(self._late + 1, PACE_SAMPLES)
            gap = (now - max(self._answered_at, sent_at)) / scale
            self.pace += (gap - self.pace) / self._late
            self.room += (served - self.room) * STEP
        elif served > self.room:
            self.room = served
        self._answered_at = now
        self._newest = max(self._newest, sent_at)

    def wait(self, under_way: int) -> float:
        """Seconds that one more would wait behind so many, siblings' ones included."""
        behind = under_way + 1 - self.room
        return behind * self.pace if behind > 0.0 else 0.0

    def longer(self, under_way: int, seconds: float) -> float:
        """How many times as long as the `seconds` of an idle backend that wait makes it."""
        return 1.0 + self.wait(under_way) / seconds

    def in_turn(self, sent_at: float, now: float) -> bool:
        """Whether one sent then, and not answered yet, only waits for its turn: in the second half of its wait others
        were answered, and none that was sent in that half."""
        return self._newest < (sent_at + now) / 2.0 < self._answered_at
