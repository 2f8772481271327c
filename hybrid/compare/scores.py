"""Scores of a system over some of its examples, and over every resample of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybrid.compare.bootstrap import Array, Difference, Estimate, Resamples, difference, estimate, sums
from hybrid.compare.measured import Indices, Measured
from hybrid.metrics import METRICS, Metric


@dataclass(frozen=True)
class Scores:
    """One metric over n examples. total: their summed statistics (k,); resampled: of each resample (R, k)."""

    metric: Metric
    n: int
    total: Array
    resampled: Array

    @cached_property
    def value(self) -> float:
        return float(self.metric.values(self.total, self.n))

    @cached_property
    def values(self) -> Array:
        """The score of each resample, (R,)."""
        return self.metric.values(self.resampled, self.n)

    def estimate(self) -> Estimate:
        return estimate(self.value, self.values, self.n)

    def minus(self, baseline: "Scores") -> Difference:
        """Paired: both must be over the same examples in the same order."""
        return difference(self.value - baseline.value, self.values, baseline.values, self.n)


def scores(measured: Measured, resamples: Resamples, places: Indices | None = None) -> Mapping[str, Scores]:
    """By metric that the system's answers carry, its Scores over the examples at `places`, by default all.

    Computed once for the same places: a baseline is compared with several systems.
    """
    if places is None:
        places = np.arange(len(measured.ids))
    key = resamples.resamples, resamples.seed, places.tobytes()
    if measured.statistics and key not in measured.scores:
        chosen = {name: statistics[places] for name, statistics in measured.statistics.items()}
        # One product for all metrics: many small ones cost more than they compute.
        together = np.concatenate(list(chosen.values()), axis=1)
        ends = np.cumsum([statistics.shape[1] for statistics in chosen.values()])[:-1]
        resampled = np.split(sums(together, resamples.counts(len(places))), ends, axis=1)
        measured.scores[key] = {
            name: Scores(METRICS[name], len(places), statistics.sum(axis=0), part)
            for (name, statistics), part in zip(chosen.items(), resampled, strict=True)
        }
    return measured.scores.get(key, {})
