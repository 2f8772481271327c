"""ROUGE-1, -2 and -L through rouge-score: F1, no stemming, the best of several references."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybrid.metrics.sacre import reference_count

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

Array = NDArray[np.float64]
Statistics = Callable[[str, Sequence[str]], tuple[float, ...]]


def parts(kind: str) -> tuple[Statistics, Callable[[Array, int], Array], Callable[[Iterable[int]], str]]:
    """Statistics, values and signature of one ROUGE. kind: rouge-score's name, such as rougeL."""
    return partial(statistics, kind), values, partial(signature, kind)


def statistics(kind: str, text: str, references: Sequence[str]) -> tuple[float, ...]:
    """One answer's F1, 0 to 1."""
    found = _scorer(kind).score_multi(list(references), text)
    return (float(found[kind].fmeasure),)


def values(sums: Array, n: int) -> Array:
    """Mean F1 of n answers in points, (..., 1) -> (...)."""
    mean: Array = 100 * sums[..., 0] / n
    return mean


def signature(kind: str, references: Iterable[int]) -> str:
    """In the manner of sacrebleu's. references: the numbers of references that occur."""
    nrefs = reference_count(references)
    return f"nrefs:{nrefs}|{kind}|F1|stem:no|refs:best|rouge-score:{version('rouge-score')}"


@cache
def _scorer(kind: str) -> "RougeScorer":
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer([kind])
