"""ROUGE-1, -2 and -L through rouge-score: F1, no stemming, the best of several references."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from hybrid.metrics.contract import Array, Metric, reference_count

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer


class Rouge(Metric):
    """One ROUGE; its name is rouge-score's. Statistics: an answer's F1, 0 to 1."""

    # None for German: rouge-score keeps a-z and 0-9 only, so it would cut "groß" to "gro".
    tasks = ("summarize",)
    default = True
    width = 1

    def statistics(self, answer: str, references: Sequence[str], source: str = "") -> tuple[float, ...]:
        """Score one answer with rouge-score."""
        scores = _scorer(self.name).score_multi(list(references), answer)
        return (float(scores[self.name].fmeasure),)

    def score(self, sums: Array, n: int) -> Array:
        """Compute the mean F1 of n answers in points, (..., 1) -> (...)."""
        mean: Array = 100 * sums[..., 0] / n
        return mean

    def signature(self, reference_counts: Iterable[int]) -> str:
        """Give one in the manner of sacrebleu's."""
        nrefs = reference_count(reference_counts)
        return f"nrefs:{nrefs}|{self.name}|F1|stem:no|refs:best|rouge-score:{version('rouge-score')}"


class RougeL(Rouge):
    """The longest common subsequence of words."""

    name, label = "rougeL", "ROUGE-L"
    main = True
    live = 1


class Rouge1(Rouge):
    """Words in common."""

    name, label = "rouge1", "ROUGE-1"


class Rouge2(Rouge):
    """Pairs of words in common."""

    name, label = "rouge2", "ROUGE-2"


@cache
def _scorer(name: str) -> "RougeScorer":
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer([name])
