"""What n examples can show: the n that would decide an open question, and the difference that n detects.

Both stand on one formula. A two-sided test at the level of the intervals finds a
distance d with the power 1 - beta where d = (z_0.975 + z_(1 - beta)) * SE, and the
standard error SE goes with 1 / sqrt(n) (Chow, Shao and Wang 2008, "Sample Size
Calculations in Clinical Research", 2nd ed., section 3.1.1; for benchmarks of texts Card
et al. 2020, "With Little Power Comes Great Responsibility", arXiv 2010.06595). An n whose
interval just reaches its target, d = z_0.975 * SE, has a power of one half: half of
all such benchmarks would find nothing.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Literal

from hybrid.compare.bootstrap import LEVEL, Difference, Estimate

Verdict = Literal["meets", "misses", "undecided"]

POWER = 0.80  # the usual one (Cohen 1988, "Statistical Power Analysis", 2nd ed., section 2.4)
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


def judge(
    parts: Sequence[tuple[Estimate, float]],
    needed: Callable[[Estimate, float, float], int | None] | None = None,
) -> tuple[Verdict, int | None]:
    """Judge ratios by their intervals, each against its need; with the n that decides what they leave open.

    "meets" where all intervals are at or above their needs, "misses" where one is below its need.
    needed: computes the n for a ratio, a need and a power; deciding_n() when None. No n where it is
    decided, and where none can be told.
    """
    needed = needed or deciding_n
    if any(ratio.high is not None and ratio.high < need for ratio, need in parts):
        return "misses", None
    left_open = [(ratio, need) for ratio, need in parts if ratio.low is None or ratio.low < need]
    if not left_open:
        return "meets", None
    below = [(ratio, need) for ratio, need in left_open if ratio.value < need]  # one that misses is enough
    # Where all must be met, the chance to fail is shared out (Bonferroni): together they have the power.
    power = POWER if below else 1 - (1 - POWER) / len(left_open)
    sizes = [needed(ratio, need, power) for ratio, need in below or left_open]
    known = [n for n in sizes if n is not None]
    if len(known) < len(sizes):
        return "undecided", None
    return "undecided", min(known) if below else max(known)


def deciding_n(ratio: Estimate, need: float, power: float = POWER) -> int | None:
    """Compute the n at which the interval leaves out `need` in the share `power` of all benchmarks.

    As long as the value, and what examples differ by, stay as they are. The half of the interval
    that faces `need` tells the standard error. None without an interval, or where the value is `need`.
    """
    end = ratio.low if ratio.value >= need else ratio.high
    if end is None or ratio.value == need:
        return None
    factor = _half_widths(power) * (end - ratio.value) / (need - ratio.value)
    return math.ceil(ratio.n * factor**2)


def detectable(difference: Difference) -> float | None:
    """Compute the minimum detectable difference (MDD): the least that n examples find, with the usual power.

    At the level of its own interval, which may be corrected for several systems. None without an
    interval, and where that has no width to tell a spread from.
    """
    alone = difference.uncorrected or difference
    if alone.low is None or alone.high is None or alone.low == alone.high:
        return None
    error = (alone.high - alone.low) / 2 / _Z
    normal = NormalDist()
    return (normal.inv_cdf((1 + difference.level) / 2) + normal.inv_cdf(POWER)) * error


def _half_widths(power: float) -> float:
    """How many half widths of an interval a distance must be, to be found with this power."""
    return 1 + NormalDist().inv_cdf(power) / _Z
