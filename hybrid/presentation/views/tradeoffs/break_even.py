"""From which length on a system is faster than the LLM, told from the examples of one run.

A straight line is fitted by least squares to the paired differences of time,
LLM minus system, over the length: reading and writing cost about the same for
each token, so that the difference grows in proportion to tokens. Where it
crosses 0 both are equally fast. Resampling the examples gives its interval.
What is predicted from a device's profile instead is in hybrid.sizing.break_even.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hybrid.compare import Estimate
from hybrid.compare.bootstrap import Array, Counts, Resamples, estimate, sums

Kind = Literal["faster", "slower", "from", "up to", "unclear", "unknown"]
LEAST = 10  # examples that a line is fitted to
NEAR = (0.5, 1.25)  # of the shortest and the longest measured length: a crossing further away says nothing


@dataclass(frozen=True)
class BreakEven:
    """kind: faster or slower at every measured length; faster from `at` on, or up to it; or not to be told.

    at: tokens where the line crosses 0. For "faster" and "slower" it lies just
        outside what was measured, or is None.
    shortest, longest: of the measured lengths, in tokens. n: examples.
    """

    kind: Kind
    at: Estimate | None
    shortest: int
    longest: int
    n: int

    @property
    def short(self) -> str:
        """What follows a system's name, or the names of several."""
        measured = f"{self.shortest:,} to {self.longest:,} tokens"
        if self.kind == "unknown":
            if self.n < LEAST:
                return f"cannot be told from {self.n} examples"
            return f"cannot be told as all lengths are {self.shortest:,} tokens"
        if self.kind == "unclear":
            return f"cannot be told within the measured {measured}"
        if self.kind in ("from", "up to"):
            tail = " on" if self.kind == "from" else ""
            return f"faster {self.kind} {_tokens(self.at)}{tail} (measured: {measured})"
        return f"{self.kind} at every measured length ({measured})"

    @property
    def sentence(self) -> str:
        """The same, and where the line crosses 0 outside of what was measured."""
        outside = self.kind in ("faster", "slower") and self.at
        return self.short + (f"; the line would cross at {_tokens(self.at)}" if outside else "")


def break_even(lengths: Array, gains: Array, draws: Resamples) -> BreakEven:
    """lengths: tokens (N,). gains: time of the LLM minus time of the system on the same examples (N,)."""
    n = len(lengths)
    shortest, longest = (int(lengths.min()), int(lengths.max())) if n else (0, 0)

    def found(kind: Kind, at: Estimate | None = None) -> BreakEven:
        return BreakEven(kind, at, shortest, longest, n)

    if n < LEAST or shortest == longest:
        return found("unknown")
    resampled = _line(lengths, gains, draws.counts(n))
    value = _line(lengths, gains, np.ones((1, n), np.uint8))
    at = _crossing(value[0], resampled, n)
    if at and not (NEAR[0] * shortest <= at.value <= NEAR[1] * longest):
        at = None
    ends = [estimate(value[0] @ (1, x), resampled @ (1, x), n) for x in (shortest, longest)]
    for kind, sign in (("faster", 1), ("slower", -1)):
        if all(sign * end.value > 0 and end.excludes(0.0) for end in ends):
            return found("faster" if kind == "faster" else "slower", at)
    inside = at and at.low is not None and at.high is not None and (at.low > shortest or at.high < longest)
    if not inside:
        return found("unclear")
    return found("from" if value[0, 1] > 0 else "up to", at)


def _line(lengths: Array, gains: Array, counts: Counts) -> Array:
    """Intercept and slope of each resample's least-squares line, (R, 2); NaN where it has but one length."""
    middle = lengths.mean()
    x = lengths - middle  # near 0, where sums of squares lose no digits
    statistics = np.stack([np.ones_like(x), x, gains, x * x, x * gains], axis=1)
    total, sx, sy, sxx, sxy = sums(statistics, counts).T
    spread = total * sxx - sx * sx
    known = spread > 1e-9 * total * total
    slope = np.divide(total * sxy - sx * sy, spread, out=np.full(len(total), np.nan), where=known)
    return np.stack([(sy - slope * sx) / total - slope * middle, slope], axis=1)


def _crossing(line: Array, resampled: Array, n: int) -> Estimate | None:
    """Where the line is 0; None when its slope may as well be level or of the other sign."""
    intercept, slope = line.tolist()
    slopes = resampled[:, 1]
    if not estimate(slope, slopes, n).excludes(0.0):
        return None
    same = slopes * slope > 0  # a few resamples may lean the other way: their crossing means the opposite
    return estimate(-intercept / slope, -resampled[same, 0] / slopes[same], n)


def _tokens(at: Estimate | None) -> str:
    if at is None:
        return "no length"
    interval = "" if at.low is None or at.high is None else f" [{max(0, at.low):,.0f}, {at.high:,.0f}]"
    return f"about {at.value:,.0f} tokens{interval}"
