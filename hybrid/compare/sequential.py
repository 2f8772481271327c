"""Intervals that may be looked at after every example: confidence sequences.

An ordinary 95 % interval holds the truth at an n that was fixed beforehand. Who looks
again and again and stops when it suits sees it fail some time: peeking after each of
1,000 examples, in more than a third of all benchmarks. A confidence sequence holds the truth at
all n at once in 95 % of them, so that stopping whenever it has decided is no cheating.

Of scores, whose difference is nearly a mean over many examples: Robbins' normal
mixture with an estimated error (Howard, Ramdas, McAuliffe and Sekhon 2021, "Time-uniform,
Nonparametric, Nonasymptotic Confidence Sequences", Annals of Statistics 49; with an estimated
variance Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, "Time-uniform
Central Limit Theory and Asymptotic Confidence Sequences", Annals of Statistics 52, arXiv 2103.06476).

Of a median of ratios: exact at any n. Whether a ratio lies below the median is a fair
coin; against it bets a mixture over all coins (Robbins 1970, "Statistical Methods Related to the
Law of the Iterated Logarithm"; for quantiles Howard and Ramdas 2022, "Sequential
Estimation of Quantiles", Bernoulli 28), and what the bets refuse lies outside.
"""

import math
from statistics import NormalDist

import numpy as np

from hybrid.compare.bootstrap import LEVEL, Array, Estimate

FIRST_LOOK = 100  # examples; before that an estimated error, above all of skewed scores, is too uncertain
MOST_N = 10_000_000  # examples that anybody could wait for
_ALPHA = 1 - LEVEL
# Examples for which the sequence is narrowest; those of a claim that is neither clear nor hopeless.
_TUNED_FOR = 1000
_LOG = -2 * math.log(_ALPHA)
_SPREAD = (_LOG + math.log(_LOG) + 1) / _TUNED_FOR  # rho squared, Waudby-Smith et al. 2024


def standard_errors(n: int) -> float:
    """How many standard errors the sequence reaches to each side after n examples; 1.96 at a fixed n."""
    t = n * _SPREAD
    return math.sqrt((t + 1) / t * (math.log(t + 1) + _LOG))


def score_sequence(value: float, error: float, n: int) -> Estimate:
    """Give a value that is nearly a mean, and has this standard error, its always-valid interval.

    None of it before FIRST_LOOK examples.
    """
    if n < FIRST_LOOK or not math.isfinite(error):
        return Estimate(value, None, None, n)
    half = standard_errors(n) * error
    return Estimate(value, value - half, value + half, n)


def median_sequence(ratios: Array) -> Estimate | None:
    """Give the median of ratios (N,) its always-valid interval; NaNs are left out, None without any."""
    known = np.sort(ratios[~np.isnan(ratios)])
    n = len(known)
    if not n:
        return None
    median = float(np.median(known))
    below = next((count for count in range(n // 2 + 1) if not refused(count, n)), None)
    if below is None or below == 0:  # too few to refuse even the smallest
        return Estimate(median, None, None, n)
    return Estimate(median, float(known[below - 1]), float(known[n - below]), n)


def refused(below: int, n: int) -> bool:
    """Whether so many of n below something refuse that it is the median, whenever it is looked at.

    The bets have then made 1 / 0.05 of 1: Beta(1/2, 1/2) mixes all coins (Krichevsky and Trofimov 1981).
    """
    won = (
        math.lgamma(below + 0.5) + math.lgamma(n - below + 0.5) - math.lgamma(n + 1) - math.log(math.pi)
        + n * math.log(2)
    )  # fmt: skip
    return won >= -math.log(_ALPHA)


def sequential_n(ratio: Estimate, need: float, power: float) -> int | None:
    """Compute roughly the n by which the sequence has left `need` out in the share `power` of all benchmarks.

    None without an interval, or where the value is `need`; nor beyond MOST_N.
    """
    end = ratio.low if ratio.value >= need else ratio.high
    if end is None or ratio.value == need:
        return None
    error = abs(end - ratio.value) / standard_errors(ratio.n) * math.sqrt(ratio.n)  # of one example
    n = float(FIRST_LOOK)
    while (standard_errors(int(n)) + NormalDist().inv_cdf(power)) * error / math.sqrt(n) > abs(
        need - ratio.value
    ):
        n *= 1.01
        if n > MOST_N:
            return None
    return math.ceil(n)
