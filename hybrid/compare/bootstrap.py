"""Paired bootstrap: full-size resamples of examples, percentile intervals, p-values.

Everything that is compared is resampled by the same counts, so that a resample
holds the same examples for every system (Koehn 2004, "Statistical Significance
Tests for Machine Translation Evaluation"). Examples are resampled, never
repeats: answers to the same example are not independent.

Shapes: N examples, R resamples, k statistics of a metric.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.uint8]

LEVEL = 0.95
_TAILS = (2.5, 97.5)  # the percentiles that LEVEL lies between
# Products up to this size run on one thread in OpenBLAS (interface/gemm.c); larger ones start threads
# that wait for each other, which takes ten times as long on a machine whose cores are busy.
_BLOCK = 1 << 18
_CHUNK = 1 << 20  # counts that are worked on at once, where intermediate arrays are larger than they are


@dataclass(frozen=True)
class Estimate:
    """One number and its 95 % interval. n: what it was computed from; one carries no interval."""

    value: float
    low: float | None
    high: float | None
    n: int

    def excludes(self, value: float) -> bool:
        """Whether there is an interval and `value` lies outside."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


@dataclass(frozen=True)
class Difference(Estimate):
    """System minus baseline. p_value: paired, see p_value(); None where there is no interval.

    The interval decides, not p.
    """

    p_value: float | None

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.excludes(0.0)


@dataclass
class Resamples:
    """The counts behind every interval of one comparison: the same number of examples, the same counts.

    resamples: 1,000 by default, as in sacrebleu.
    """

    resamples: int = 1000
    seed: int = 0
    _counts: dict[int, Counts] = field(default_factory=dict, repr=False)

    def counts(self, n: int) -> Counts:
        """How often each of n examples is drawn, (R, n); every row sums to n."""
        if n not in self._counts:
            draw = np.random.default_rng(self.seed)
            # A byte holds every count: that one of 256 examples or more is drawn 256 times has a
            # probability below 1 / 256!
            counts = np.empty((self.resamples, n), dtype=np.uint8)
            for row in counts:
                row[:] = np.bincount(draw.integers(0, n, n), minlength=n)
            self._counts[n] = counts
        return self._counts[n]


def estimate(value: float, resampled: Array, n: int) -> Estimate:
    """`value` with the percentile interval of its resamples (R,); NaN is a resample without a value."""
    known = resampled[~np.isnan(resampled)]
    if n < 2 or not known.size:
        return Estimate(value, None, None, n)
    low, high = np.percentile(known, _TAILS).tolist()
    return Estimate(value, low, high, n)


def sums(statistics: Array, counts: Counts) -> Array:
    """Statistics (N, k) summed over each resample: (R, k)."""
    rows = max(1, _BLOCK // statistics.size)
    blocks = range(0, len(counts), rows)
    return np.concatenate([counts[i : i + rows].astype(np.float64) @ statistics for i in blocks])


def median_estimate(values: Array, counts: Counts) -> Estimate | None:
    """Compute the median of `values` (N,) with its interval; NaNs are left out, of every resample too."""
    known = values[~np.isnan(values)]
    if not known.size:
        return None
    return estimate(float(np.median(known)), medians(values, counts), known.size)


def medians(values: Array, counts: Counts) -> Array:
    """Compute the median of each resample of `values` (N,), (R,); NaN where only NaNs were drawn."""
    order = np.argsort(values)[: np.count_nonzero(~np.isnan(values))]  # NaNs come last
    ranked = np.append(values[order], np.nan)
    rows = max(1, _CHUNK // len(values))
    return np.concatenate(
        [_medians(ranked, counts[i : i + rows, order]) for i in range(0, len(counts), rows)]
    )


def _medians(ranked: Array, counts: Counts) -> Array:
    """ranked: the values in order, and NaN after them. counts: of each value, in the same order."""
    drawn = np.cumsum(counts, axis=1, dtype=np.int32)  # how many up to here
    total = drawn[:, -1:]
    # The middle one, or the two in the middle: where the running count first exceeds their ranks.
    lower, upper = (np.count_nonzero(drawn <= rank, axis=1) for rank in ((total - 1) // 2, total // 2))
    middle: Array = (ranked[lower] + ranked[upper]) / 2
    return middle


def p_value(system: Array, baseline: Array, difference: float) -> float:
    """sacrebleu's p-value of a paired difference from resampled scores (R,) of both.

    sacrebleu.significance._paired_bs_test and _compute_p_value, after Moses'
    bootstrap-hypothesis-difference-significance.pl: how often the absolute
    difference strays from its mean by more than the one observed. Only straying
    upwards is counted: where p is small it is about half of a two-sided p, and
    may be below 0.05 while the 95 % interval holds 0. Unlike there, systems that
    never differ have p = 1, not 1 / (R + 1).
    """
    strayed = np.abs(system - baseline)
    if not strayed.any():
        return 1.0
    strayed = strayed - strayed.mean()
    return float((np.sum(strayed > abs(difference)) + 1) / (len(strayed) + 1))


def difference(value: float, system: Array, baseline: Array, n: int) -> Difference:
    """System minus baseline over n examples, `value`, and its resamples from those of both (R,)."""
    interval = estimate(value, system - baseline, n)
    p = None if interval.low is None else p_value(system, baseline, value)
    return Difference(value, interval.low, interval.high, interval.n, p)
