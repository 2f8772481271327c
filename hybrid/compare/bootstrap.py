"""Paired bootstrap: full-size resamples of examples, percentile intervals, p-values; and blocks.

Everything that is compared is resampled by the same counts, so that a resample
holds the same examples for every system (Koehn 2004, "Statistical Significance
Tests for Machine Translation Evaluation"). Examples are resampled, never
repeats: answers to the same example are not independent.

Times have a second part of spread, which no resampling of examples can see: what
changes from process to process. Ratios of times that were measured in several
blocks have an interval of both, see nested_median().

Shapes: N examples, R resamples, B blocks, k statistics of a metric.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.uint8]

LEVEL = 0.95
# Examples that an interval takes: of 5 that all point one way a two-sided sign test says p = 2 / 2**5 = 0.06,
# of 6 it says 0.03 (Conover, Practical Nonparametric Statistics, 3rd ed., section 3.4).
FEWEST = 6
_TAILS = (2.5, 97.5)  # the percentiles that LEVEL lies between
_MOST_SPREAD = 100.0  # of logarithms: times that nothing can have measured
_Z = 1.959964  # normal quantile at 97.5 %
_STUDENT_T = (math.inf, 12.7062, 4.3027, 3.1824, 2.7764)  # the same of Student's t, by degrees of freedom
# Products up to this size run on one thread in OpenBLAS (interface/gemm.c); larger ones start threads
# that wait for each other, which takes ten times as long on a machine whose cores are busy.
_BLOCK = 1 << 18
_CHUNK = 1 << 20  # counts that are worked on at once, where intermediate arrays are larger than they are


@dataclass(frozen=True)
class Estimate:
    """One number and its 95 % interval. n: what it was computed from; fewer than FEWEST carry no interval."""

    value: float
    low: float | None
    high: float | None
    n: int

    def excludes(self, value: float) -> bool:
        """Whether there is an interval and `value` lies outside."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


@dataclass(frozen=True)
class Ratio(Estimate):
    """A median of paired ratios.

    blocks: processes that were measured one after another; with one of them the
    interval does not hold what changes from process to process.
    between, within: what blocks and what examples alone would make of the
    interval's half width, as shares of the value; None where that is not known.
    """

    blocks: int = 1
    between: float | None = None
    within: float | None = None


@dataclass(frozen=True)
class Difference(Estimate):
    """System minus baseline. p_value: two-sided, see p_value(); None where there is no interval.

    baseline: the baseline's own score on these examples; None where it is not known.
    together: how many differences interval and p-value are corrected for, see compare.multiple;
        level: then the interval's. uncorrected: as it is alone.
    """

    p_value: float | None
    baseline: float | None = None
    together: int = 1
    level: float = LEVEL
    uncorrected: "Difference | None" = None

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
    if n < FEWEST or not known.size:
        return Estimate(value, None, None, n)
    low, high = np.percentile(known, _TAILS).tolist()
    return Estimate(value, low, high, n)


def share_estimate(count: float, n: int) -> Estimate:
    """Give the share of n answers that have something, in points, with Wilson's score interval.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference"; of 0 among n it
    reaches up to 3.84 / (n + 3.84), where a bootstrap would be sure that there are none.
    """
    share = count / n
    if n < FEWEST:
        return Estimate(100 * share, None, None, n)
    spread = _Z**2 / n
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return Estimate(100 * share, 100 * max(0.0, middle - half), 100 * min(1.0, middle + half), n)


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


def nested_median(values: Array, by_block: Array, counts: Counts) -> Ratio | None:
    """Compute the median of ratios (N,) with an interval over blocks and examples; NaNs are left out.

    by_block: the same as measured in each block (N, B), NaN where it was not.

    On logarithms. The medians of the blocks differ by what changes between
    processes and by their examples; resampled examples, each block centred at its
    median, tell their part of that variance in any design, be each example in one
    block or in all. It is taken off by the factor that leaves as much too large
    as too small an estimate, the median of chi-squared. What is left, over B, is
    known from B - 1 degrees of freedom only, so Student's t takes the place of the
    normal quantile; both half widths add in quadrature. So an interval is never
    narrower than that of its examples. tests/compare/test_coverage.py simulates
    it: 93 to 97 % with 3 blocks; percentiles over examples hold 20 to 70 %.

    Sources: nested random effects, Kalibera and Jones 2013, "Rigorous Benchmarking
    in Reasonable Time", doi 10.1145/2491894.2464160; adding half widths, Graybill
    and Wang 1980, doi 10.1080/01621459.1980.10477565.
    """
    pooled = median_estimate(values, counts)
    if pooled is None:
        return None
    logs = np.log(by_block[:, ~np.isnan(by_block).all(axis=0)])
    blocks = logs.shape[1]
    of_one_block = Ratio(pooled.value, pooled.low, pooled.high, pooled.n)
    if blocks < 2 or pooled.low is None:
        return of_one_block
    centres = np.nanmedian(logs, axis=0)
    resampled = np.stack([medians(column, counts) for column in logs.T], axis=1) - centres  # (R, B)
    resampled = resampled[~np.isnan(resampled).any(axis=1)]
    if len(resampled) < 2:  # nothing to tell a variance from
        return of_one_block
    freedom = blocks - 1
    of_examples = _median_chi_squared(freedom) * resampled.var(axis=1, ddof=1).mean()
    spread = max(0.0, centres.var(ddof=1) - of_examples) / blocks
    between = _student_t(freedom) * math.sqrt(spread)
    within = _Z * resampled.mean(axis=1).std(ddof=1)
    if not math.hypot(between, within) < _MOST_SPREAD:
        return of_one_block
    factor = math.exp(math.hypot(between, within))
    value = pooled.value
    ends = value / factor, value * factor
    return Ratio(value, *ends, pooled.n, blocks, math.expm1(between), math.expm1(within))


def _median_chi_squared(freedom: int) -> float:
    """Median over mean of chi-squared, within 2 % from 2 degrees of freedom on (Wilson and Hilferty 1931)."""
    return (1 - 2 / (9 * freedom)) ** 3


def _student_t(freedom: int) -> float:
    """Quantile at 97.5 %, within 0.2 % (Abramowitz and Stegun 1964, 26.7.5)."""
    if freedom < len(_STUDENT_T):
        return _STUDENT_T[freedom]
    z = _Z
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


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


def p_value(resampled: Array) -> float:
    """Give the two-sided p-value of a difference from its resamples (R,).

    The interval inverted (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 15.4):
    one minus the level of the widest percentile interval that leaves out 0, so that p < 0.05 exactly
    where the 95 % interval does. Never below 2 / (R + 1), the least that R resamples can show
    (Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 4.2); that is below
    0.05 from 40 resamples on.
    """
    ordered = np.sort(resampled)
    tail = min(_rank_of_zero(ordered), _rank_of_zero(-ordered[::-1]))
    return float(min(max(2 * tail, 2 / (len(ordered) + 1)), 1.0))


def _rank_of_zero(ordered: Array) -> float:
    """Give the highest share, 0 to 1, whose percentile is not above 0, as np.percentile computes it."""
    last = int(np.searchsorted(ordered, 0.0, side="right")) - 1
    if last < 0 or last + 1 == len(ordered):
        return float(last >= 0)
    low, high = float(ordered[last]), float(ordered[last + 1])
    return (last - low / (high - low)) / (len(ordered) - 1)


def difference(value: float, system: Array, baseline: Array, n: int, baseline_value: float) -> Difference:
    """System minus baseline over n examples, `value`, and its resamples from those of both (R,).

    baseline_value: the baseline's own score.
    """
    interval = estimate(value, system - baseline, n)
    p = None if interval.low is None else p_value(system - baseline)
    return Difference(value, interval.low, interval.high, interval.n, p, baseline_value)
