"""Scores of single answers, from the statistics that their corpus score is summed from."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hybrid.metrics import METRICS


def own_scores(metric: str, statistics: Sequence[Mapping[str, tuple[float, ...]]]) -> NDArray[np.float64]:
    """Each answer's own score by the formula of the whole corpus, to 4 decimals: (N,).

    statistics: of each of N answers, by metric. NaN where an answer has none of
    this metric, or not as many as this version makes of an answer.
    """
    known = [i for i, one in enumerate(statistics) if len(one.get(metric, ())) == _width(metric)]
    scores = np.full(len(statistics), np.nan)
    if known:
        sums = np.array([statistics[i][metric] for i in known])  # (known, width)
        scores[known] = [round(value, 4) for value in METRICS[metric].values(sums, 1).tolist()]
    return scores


@cache
def _width(metric: str) -> int:
    return len(METRICS[metric].statistics("", ("",)))
