"""How one latency of one system is spread: percentiles with their n, and the steps of its ECDF."""

from dataclasses import dataclass

import numpy as np

from hybrid.compare import Estimate
from hybrid.compare.bootstrap import Array, Resamples, estimate, medians
from hybrid.compare.results import Indices
from hybrid.compare.summary import carries

PERCENTS = (5, 10, 25, 50, 75, 90, 95, 99)
MOST_STEPS = 240  # of an ECDF that is drawn: more than a screen tells apart


@dataclass(frozen=True)
class Distribution:
    """Milliseconds over every answer, repeats included, as in hybrid.compare's Latency.

    p50: with the bootstrap interval of the median; its n counts independent
        measurements: examples, or batches, which are what is resampled.
    answers: values behind it. percentiles: by PERCENTS. carried: those that n can carry.
    values, shares: the ECDF, as pairs of a latency and the share of answers that took no longer.
    """

    p50: Estimate
    answers: int
    percentiles: tuple[float, ...]
    carried: tuple[int, ...]
    values: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def carried_share(self) -> float:
        """Up to which share the ECDF can be believed: the highest percentile that n carries, 0 to 1."""
        return max(self.carried, default=0) / 100


def distribution(values: Array, units: Indices, draws: Resamples) -> Distribution | None:
    """Of latencies (N,) in ms, NaN where there is none; None when there is none at all.

    units: (N,) numbers from 0 of the example, or batch, that each value belongs to.
    """
    known = np.sort(values[~np.isnan(values)])
    if not known.size:
        return None
    n = len(np.unique(units[~np.isnan(values)]))
    resampled = medians(values, draws.counts(int(units.max()) + 1)[:, units])
    steps, shares = ecdf(known)
    return Distribution(
        p50=estimate(float(np.percentile(known, 50)), resampled, n),
        answers=known.size,
        percentiles=tuple(np.percentile(known, PERCENTS).tolist()),
        carried=tuple(p for p in PERCENTS if carries(n, max(p, 100 - p))),
        values=steps,
        shares=shares,
    )


def ecdf(ordered: Array, most: int = MOST_STEPS) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Steps of the empirical distribution of values in ascending order, both ends included, at most `most`.

    Each step is exact: the share of values that are no greater. Ties are one step.
    """
    places = np.unique(np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round().astype(int))
    steps = np.unique(ordered[places])
    shares = np.searchsorted(ordered, steps, side="right") / len(ordered)
    return tuple(steps.tolist()), tuple(shares.tolist())
