"""Measuring: running averages of what deployments do. Choosing is the strategies' business.

Each keeps a few numbers, and forgets, so that a deployment nobody has asked for a while is not judged by old news for
ever.
"""

from __future__ import annotations

from math import exp


class Ewma:
    """A mean in which a sample's weight falls by 1/e every `tau` samples. None before the first."""

    __slots__ = ("tau", "value")

    def __init__(self, tau: float) -> None:
        self.tau = tau
        self.value: float | None = None

    def add(self, sample: float) -> None:
        self.value = sample if self.value is None else self.value + (sample - self.value) / self.tau


class PeakEwma:
    """A pessimist's mean: a sample above it replaces it at once, one below pulls it down with time constant `tau`
    seconds.

    Read after silence, it has decayed by the same constant: a deployment that was slow once gets another chance.
    Source: Finagle's `PeakEwma` load metric (Twitter, 2015).
    """

    __slots__ = ("at", "tau", "value")

    def __init__(self, tau: float) -> None:
        self.tau = tau
        self.value: float | None = None
        """As of the last sample, which came `at` (clock seconds)."""
        self.at = 0.0

    def add(self, now: float, sample: float) -> None:
        """A sample taken at `now`, in clock seconds."""
        known = self.value
        if known is None or sample > known:
            self.value = sample
        else:
            kept = exp(-(now - self.at) / self.tau)
            self.value = known * kept + sample * (1.0 - kept)
        self.at = now

    def read(self, now: float, patience: float) -> float | None:
        """The mean as of `now`; None before the first sample. Silence shorter than `patience` seconds is no news."""
        if self.value is None:
            return None
        silence = now - self.at - patience
        return self.value if silence <= 0.0 else self.value * exp(-silence / self.tau)


class LineFit:
    """y ≈ fixed + slope · x by least squares, older samples forgotten with factor `keep` per sample; never negative.

    Used for the time to first token over the prompt's length. The line is worked out as samples come, which is once a
    reply, and read for every candidate of every request. Source: recursive least squares with exponential forgetting
    (Ljung, "System Identification", 1999), kept as its five sums.
    """

    __slots__ = ("_n", "_x", "_xx", "_xy", "_y", "fixed", "keep", "slope")

    def __init__(self, keep: float = 0.98) -> None:
        self.keep = keep
        self._n = self._x = self._y = self._xx = self._xy = 0.0
        self.fixed: float | None = None
        """None before the first sample."""
        self.slope = 0.0

    def add(self, x: float, y: float, weight: float = 1.0) -> None:
        """`weight` in (0, 1]: how much this sample counts, and so how much it makes of the older ones forgotten."""
        keep = 1.0 - (1.0 - self.keep) * weight
        self._n = self._n * keep + weight
        self._x = self._x * keep + weight * x
        self._y = self._y * keep + weight * y
        self._xx = self._xx * keep + weight * x * x
        self._xy = self._xy * keep + weight * x * y
        mean_x, mean_y = self._x / self._n, self._y / self._n
        spread = self._xx / self._n - mean_x * mean_x
        flat = spread <= 1e-6 * (1.0 + mean_x * mean_x)
        self.slope = 0.0 if flat else max((self._xy / self._n - mean_x * mean_y) / spread, 0.0)
        self.fixed = mean_y - self.slope * mean_x

    def at(self, x: float) -> float | None:
        """The expected y, or None before the first sample. Where the samples' x hardly differ, their mean y."""
        return None if self.fixed is None else max(self.fixed + self.slope * x, 0.0)


class Correction:
    """How many times its estimate something really is, as a ratio of two running means.

    What is small counts for little, since a fixed part on top of it (a provider's own system prompt) says nothing about
    what is large; and `BELIEF` more is taken to be as estimated, so that a few samples do not decide.
    """

    BELIEF = 500.0
    SAMPLES = 50.0

    __slots__ = ("_estimated", "_true", "value")

    def __init__(self) -> None:
        self._estimated = Ewma(self.SAMPLES)
        self._true = Ewma(self.SAMPLES)
        self.value = 1.0

    def add(self, corrected: float, real: float) -> None:
        """`corrected` is what was expected, with this correction in it."""
        self._estimated.add(corrected / self.value)
        self._true.add(real)
        belief = self.BELIEF
        self.value = ((self._true.value or 0.0) + belief) / ((self._estimated.value or 0.0) + belief)
