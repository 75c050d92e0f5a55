"""How fast one backend answers, in two measures that are never mixed.

Streams are measured by their time to first token, which grows with the prompt: a running fit of fixed + per 1,000
prompt tokens says what is usual, and a peak-sensitive mean of measured / usual says how things are now. Both are about
a backend that is not too busy to begin at once: how long a queue is, `backlog` knows. Whole replies are measured in
seconds per output token.
"""

from __future__ import annotations

from router.core.estimators import LineFit, PeakEwma

TAU = 10.0
PATIENCE = 5.0
"""Seconds without a sample after which what is known begins to fade."""
FAILURE_SECONDS = 5.0
FAILURE_SECONDS_MAX = 60.0
QUEUED = 3
"""What is usual is learned from a stream with the weight 1 / (1 + ahead) to this power: steep, so that one that had to
queue counts for next to nothing beside one that had not (behind one other, an eighth), and yet is all there is to learn
from where a backend is never idle."""
_LEAST = 1e-4


class Slowest:
    """The slowest that was measured since the last `take`: what siblings are told. Tokens and seconds each."""

    __slots__ = ("_first_token", "_whole", "seen")

    def __init__(self) -> None:
        self.seen = False
        self._first_token: tuple[int, float] | None = None
        self._whole: tuple[int, float] | None = None

    def streamed(self, prompt_tokens: int, first_token: float) -> None:
        self.seen = True
        if self._first_token is None or first_token > self._first_token[1]:
            self._first_token = (prompt_tokens, first_token)

    def replied(self, output_tokens: int, duration: float) -> None:
        self.seen = True
        known = self._whole
        if known is None or duration * max(known[0], 1) > known[1] * max(output_tokens, 1):
            self._whole = (output_tokens, duration)

    def take(self) -> tuple[tuple[int, float] | None, tuple[int, float] | None]:
        """(prompt tokens, seconds to the first token) and (output tokens, seconds); None where nothing was measured."""
        taken = (self._first_token, self._whole)
        self._first_token = self._whole = None
        self.seen = False
        return taken


class Latency:
    """Times in seconds, `now` in clock seconds, prompts and outputs in tokens. `own`: kept where siblings are told."""

    __slots__ = ("_failed", "_failure", "_lag", "_usual", "_whole", "own")

    def __init__(self) -> None:
        self.own: Slowest | None = None
        self._usual = LineFit()
        self._lag = PeakEwma(TAU)
        self._whole = PeakEwma(TAU)
        self._failure = PeakEwma(TAU)
        self._failed = False

    def streamed(self, now: float, prompt_tokens: int, first_token: float, ahead: float = 0.0) -> None:
        """A stream's first token came after that long; so many others were `ahead` of it when it was sent."""
        if self.own is not None and not ahead:
            self.own.streamed(prompt_tokens, first_token)
        self.hear_streamed(now, prompt_tokens, first_token, ahead)

    def hear_streamed(self, now: float, prompt_tokens: int, first_token: float, ahead: float = 0.0) -> None:
        """The same, measured by a sibling."""
        length = prompt_tokens / 1000.0
        known = self._usual.at(length) or 0.0
        self._usual.add(length, first_token, 1.0 / (1.0 + ahead) ** QUEUED)
        # By what this sample itself has taught, too: the first long prompt after short ones is no slowness. One that
        # had to queue tells nothing of how an idle backend does, and passes for a usual one.
        expected = max(known, self._usual.at(length) or 0.0, _LEAST)
        self._lag.add(now, 1.0 if ahead else first_token / expected)
        self._well(now)

    def replied(self, now: float, output_tokens: int, duration: float) -> None:
        """A whole reply came after that long."""
        if self.own is not None:
            self.own.replied(output_tokens, duration)
        self.hear_replied(now, output_tokens, duration)

    def hear_replied(self, now: float, output_tokens: int, duration: float) -> None:
        """The same, measured by a sibling."""
        self._whole.add(now, duration / max(output_tokens, 1))
        self._well(now)

    def failed(self, now: float, retry_after: float | None) -> None:
        """An attempt failed. It counts as slow however fast it failed, or failing would attract traffic."""
        self._failed = True
        self._failure.add(now, min(max(retry_after or 0.0, FAILURE_SECONDS), FAILURE_SECONDS_MAX))

    def outlasted(self, now: float, prompt_tokens: int, waited: float) -> None:
        """A stream had not begun after that long, and was waited for no longer: its first token takes longer still."""
        usual = self._usual.at(prompt_tokens / 1000.0)
        if usual is None:
            self.streamed(now, prompt_tokens, waited)
            return
        lag, known = waited / max(usual, _LEAST), self._lag.read(now, PATIENCE)
        if known is None or lag > known:  # how things are now; what is usual is not learned from an unfinished sample
            self._lag.add(now, lag)

    def usual(self, prompt_tokens: int) -> float:
        """Seconds that a prompt of this length takes until its first token when nothing is the matter; 0 where no
        stream has been measured."""
        return self._usual.at(prompt_tokens / 1000.0) or 0.0

    def expected(self, now: float, stream: bool, prompt_tokens: int, output_tokens: float) -> float | None:
        """Seconds that a request should take until its first token (a stream) or its end; None before any sample."""
        if stream:
            # `LineFit.at` and `PeakEwma.read`, written out: every candidate of every request is asked, and their calls
            # would make a decision half as long again. The line and the lag both come with the first stream.
            seconds, known = self._usual.fixed, self._lag.value
            if seconds is not None and known is not None:
                if now - self._lag.at > PATIENCE:
                    known = self._lag.read(now, PATIENCE) or 0.0
                seconds += self._usual.slope * (prompt_tokens / 1000.0)
                if seconds < _LEAST:
                    seconds = _LEAST
                seconds *= known
        else:
            seconds = self._whole.read(now, PATIENCE)
            if seconds is not None and output_tokens > 1.0:
                seconds *= output_tokens
        if self._failed:
            failure = self._failure.read(now, PATIENCE) or 0.0
            if failure > _LEAST and (seconds is None or failure > seconds):
                return failure
        return seconds

    def _well(self, now: float) -> None:
        if self._failed:
            self._failure.add(now, 0.0)
            self._failed = (self._failure.read(now, PATIENCE) or 0.0) > _LEAST
