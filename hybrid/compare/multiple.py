"""Several systems against a baseline at once: their p-values and intervals corrected by Holm.

Of twenty systems that all equal the baseline, one is "significant" by chance at a
level of 5 %. Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure"
(Scandinavian Journal of Statistics 6, 65-70), keeps the chance that any of them is, in
whatever way they hang together, at 5 %: the least of m p-values counts m times, the
next m - 1 times. An interval has the level of its step, so that it leaves out 0 exactly
where the corrected p is below 0.05 (Serlin 1993, "Confidence Intervals and the Scientific
Method: A Case for Holm on the Range", Journal of Experimental Education 61, 350-360); each
holds its own difference in 95 % of all benchmarks or more.

The p-values of the bootstrap are no good for that: 1,000 resamples show none below
0.002, which 26 systems take beyond 0.05. So here the half of the 95 % interval that faces 0
tells the standard error, and Student's t the p-value.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import TypeVar

from hybrid.compare.bootstrap import LEVEL, Difference
from hybrid.compare.paired import PairedComparison

Key = TypeVar("Key", bound=Hashable)

_ALPHA = 1 - LEVEL
_NORMAL = NormalDist()
_LEAST = 1e-300  # of p-values, which a quantile can be computed of


def corrected(
    comparisons: Sequence[PairedComparison | None], tasks: Sequence[str]
) -> list[PairedComparison | None]:
    """Correct the differences by each metric of a task for all systems that were asked for it.

    tasks: by comparison, what was asked. None is a baseline, and stays one.
    """
    families: dict[tuple[str, str], dict[int, Difference]] = defaultdict(dict)
    for place, (comparison, task) in enumerate(zip(comparisons, tasks, strict=True)):
        for metric, difference in ((comparison and comparison.differences) or {}).items():
            families[task, metric][place] = difference
    differences: dict[int, dict[str, Difference]] = defaultdict(dict)
    for (_, metric), family in families.items():
        for place, difference in holm(family).items():
            differences[place][metric] = difference
    return [
        replace(comparison, differences=differences[place])
        if comparison and comparison.differences
        else comparison
        for place, comparison in enumerate(comparisons)
    ]


def holm(differences: Mapping[Key, Difference]) -> dict[Key, Difference]:
    """Correct differences that are looked at together; those without an interval stay as they are.

    What they were is kept in `uncorrected`. One alone is left alone.
    """
    tested = {key: difference for key, difference in differences.items() if difference.low is not None}
    if len(tested) < 2:
        return dict(differences)
    p_values = {key: t_test(difference) for key, difference in tested.items()}
    corrected, largest, steps = dict(differences), 0.0, len(tested)
    for left, key in zip(range(steps, 0, -1), sorted(tested, key=p_values.__getitem__), strict=True):
        if largest < _ALPHA:  # the step at which nothing more is significant is that of all that follow
            step = left
        largest = min(1.0, max(largest, left * p_values[key]))
        low, high = _ends(tested[key], p_values[key], _ALPHA / step)
        corrected[key] = replace(
            tested[key], low=low, high=high, p_value=largest, together=steps, level=1 - _ALPHA / step,
            uncorrected=tested[key],
        )  # fmt: skip
    return corrected


def t_test(difference: Difference) -> float:
    """Compute the two-sided p-value of a difference with an interval: below 0.05 where that leaves out 0.

    Never below that of a sign test of n examples that all point one way, 2 / 2**n.
    """
    if difference.value == 0:
        return 1.0
    half = _facing_half(difference)
    freedom = difference.n - 1
    t = math.inf if half == 0 else abs(difference.value) / half * _t_quantile(_ALPHA / 2, freedom)
    return min(1.0, max(2 * _NORMAL.cdf(-_as_normal(t, freedom)), 2.0 ** (1 - difference.n), _LEAST))


def _facing_half(difference: Difference) -> float:
    """Give the half width towards 0, or of the whole where bias has put the value outside."""
    low, high = _known(difference)
    half = difference.value - low if difference.value > 0 else high - difference.value
    return half if half >= 0 else (high - low) / 2


def _ends(difference: Difference, p_value: float, alpha: float) -> tuple[float, float]:
    """Stretch the interval to the level 1 - alpha; its end that faces 0 agrees with the p-value."""
    freedom, value = difference.n - 1, difference.value
    low, high = _known(difference)
    quantile = _t_quantile(alpha / 2, freedom)
    factor = quantile / _t_quantile(_ALPHA / 2, freedom)
    below, above = (factor * max(0.0, half) for half in (value - low, high - value))
    if value and p_value < 1:
        facing = abs(value) * quantile / _t_quantile(p_value / 2, freedom)
        below, above = (facing, above) if value > 0 else (below, facing)
    return value - below, value + above


def _known(difference: Difference) -> tuple[float, float]:
    if difference.low is None or difference.high is None:
        raise ValueError(f"{difference} has no interval.")
    return difference.low, difference.high


def _as_normal(t: float, freedom: int) -> float:
    """Give the normal quantile of the same tail, within 1 %.

    Wallace 1959, "Bounds on Normal Approximations to Student's and the Chi-Square Distributions",
    Ann. Math. Statist. 30, 1121-1130.
    """
    if math.isinf(t):
        return t
    return (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))


def _t_quantile(tail: float, freedom: int) -> float:
    """Give Student's t with this share above it, at most one half: _as_normal() inverted."""
    z = -_NORMAL.inv_cdf(tail) * (8 * freedom + 3) / (8 * freedom + 1)
    return math.sqrt(freedom * math.expm1(z * z / freedom))
