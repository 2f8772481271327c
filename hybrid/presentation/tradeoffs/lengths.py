"""Speed-up over the LLM by length: bins of equally many examples, and the break-even length.

For the break-even a straight line is fitted by least squares to the paired differences of time,
LLM minus system, over the length: reading and writing cost about the same for each token, so that
the difference grows in proportion to tokens. Where it crosses 0 both are equally fast. Resampling
the examples gives its interval. What is predicted from a device's profile instead is in
hybrid.sizing.prediction.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from hybrid.compare import Estimate
from hybrid.compare.bootstrap import Array, Counts, Resamples, estimate, nested_median, sums
from hybrid.compare.results import Indices
from hybrid.schema import BASELINE, System

Length = Literal["input", "output"]
LENGTHS: Mapping[Length, str] = {"input": "prompt_tokens", "output": "output_tokens"}
Kind = Literal["faster", "slower", "from", "up to", "unclear", "unknown"]
LEAST = 10  # examples in a bin, and that a line is fitted to
MOST_BINS = 8
NEAR = (0.5, 1.25)  # of the shortest and the longest measured length: a crossing further away says nothing


@dataclass(frozen=True)
class Bin:
    """Examples of similar length. shortest, longest, middle: tokens, the last one the median.

    ratio: LLM's time over the system's, the median of paired ratios; its n counts examples.
    """

    shortest: int
    longest: int
    middle: float
    ratio: Estimate


@dataclass(frozen=True)
class MeasuredBreakEven:
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


@dataclass(frozen=True)
class ByLength:
    """bins: in ascending order; none when there are too few examples for one."""

    bins: tuple[Bin, ...]
    break_even: MeasuredBreakEven


def by_length(answers: pd.DataFrame, draws: Resamples) -> Mapping[System, Mapping[Length, ByLength]]:
    """Return by system and kind of length; nothing without an LLM's answer to the same example.

    answers: of one run with batches of one, as read_answers() gives them. Times are end to end, the
    median over the repeats of an example; lengths are those of the LLM's first answer and its prompt.
    """
    baseline_name = str(BASELINE)
    times = answers.pivot_table(
        index="example_id", columns="system", values="total_ms", aggfunc="median", observed=True
    )
    if baseline_name not in times:
        return {}
    of_llm = answers[answers["system"] == baseline_name].sort_values("repeat").drop_duplicates("example_id")
    lengths = of_llm.set_index("example_id").reindex(times.index)
    systems: dict[System, dict[Length, ByLength]] = {}
    in_blocks = answers.pivot_table(
        index="example_id", columns=["system", "block"], values="total_ms", aggfunc="median", observed=True
    )
    for name in times.columns.drop(baseline_name):
        baseline, own = times[baseline_name].to_numpy(), times[name].to_numpy()
        timed = (baseline > 0) & (own > 0)  # NaN is not
        by_block = (in_blocks[baseline_name] / in_blocks[name]).to_numpy()[timed]
        systems[System.parse(name)] = {
            kind: _by_length(
                lengths[column].to_numpy(np.float64)[timed], baseline[timed], own[timed], by_block, draws
            )
            for kind, column in LENGTHS.items()
        }
    return {system: kinds for system, kinds in systems.items() if kinds["output"].break_even.n}


def bins(lengths: Array, least: int = LEAST, most: int = MOST_BINS) -> Iterator[Indices]:
    """Yield the places (n,) of the examples of each bin: about equally many, `least` or more.

    Examples of one length are never torn apart, so that there may be fewer
    bins than `most`, and none when there are fewer than `least` examples.
    """
    order = np.argsort(lengths, kind="stable")
    count = min(most, len(order) // least)
    start = 0
    for number in range(count, 0, -1):
        left = len(order) - start
        if left < least:
            return
        end = start + max(least, round(left / number))
        while end < len(order) and lengths[order[end]] == lengths[order[end - 1]]:
            end += 1
        if number == 1 or len(order) - end < least:
            end = len(order)
        yield order[start:end]
        start = end


def break_even(lengths: Array, gains: Array, draws: Resamples) -> MeasuredBreakEven:
    """Fit the line. lengths: tokens (N,). gains: time of the LLM minus time of the system (N,)."""
    n = len(lengths)
    shortest, longest = (int(lengths.min()), int(lengths.max())) if n else (0, 0)

    def result(kind: Kind, at: Estimate | None = None) -> MeasuredBreakEven:
        return MeasuredBreakEven(kind, at, shortest, longest, n)

    if n < LEAST or shortest == longest:
        return result("unknown")
    resampled = _line(lengths, gains, draws.counts(n))
    value = _line(lengths, gains, np.ones((1, n), np.uint8))
    at = _crossing(value[0], resampled, n)
    if at and not (NEAR[0] * shortest <= at.value <= NEAR[1] * longest):
        at = None
    ends = [estimate(value[0] @ (1, x), resampled @ (1, x), n) for x in (shortest, longest)]
    if all(end.value > 0 and end.excludes(0.0) for end in ends):
        return result("faster", at)
    if all(end.value < 0 and end.excludes(0.0) for end in ends):
        return result("slower", at)
    inside = at and at.low is not None and at.high is not None and (at.low > shortest or at.high < longest)
    if not inside:
        return result("unclear")
    return result("from" if value[0, 1] > 0 else "up to", at)


def _by_length(lengths: Array, baseline: Array, own: Array, by_block: Array, draws: Resamples) -> ByLength:
    """Tokens (N,), the times of both in ms (N,), and their ratios in each block (N, B)."""
    measured = []
    for places in bins(lengths):
        part, ratios = lengths[places], baseline[places] / own[places]
        ratio = nested_median(ratios, by_block[places], draws.counts(len(places)))
        assert ratio is not None, "a bin has examples, all of them with a ratio"
        measured.append(Bin(int(part.min()), int(part.max()), float(np.median(part)), ratio))
    return ByLength(tuple(measured), _consistent(break_even(lengths, baseline - own, draws), measured))


def _consistent(fitted: MeasuredBreakEven, measured: list[Bin]) -> MeasuredBreakEven:
    """Reject a line that says faster, or slower, everywhere while a bin is decidedly the other."""
    decided = [part.ratio.value > 1 for part in measured if part.ratio.excludes(1.0)]
    wrong = {"faster": False, "slower": True}.get(fitted.kind)
    if wrong is not None and wrong in decided:
        return replace(fitted, kind="unclear", at=None)
    return fitted


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
