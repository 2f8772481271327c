"""Repetition rates: the share of 3-grams or 4-grams of words that an answer has written before."""

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from hybrid.metrics.contract import Array, Case, Metric, is_unspaced, words_apart


class RepetitionRate(Metric):
    """Statistics: repeated n-grams of the answer, and all of them; references are not looked at.

    seq-rep-4 of Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training"
    (arXiv 1908.04319), 1 - unique / all, summed over the corpus; words are what white space parts,
    and single letters of languages that set none.
    """

    name, label = "repetition", "Repetition"
    scale = "repeated 4-grams in 100 of an answer's own"
    higher_is_better = False
    kinds = ("translation", "summary")
    width = 2
    order: ClassVar[int] = 4

    def statistics(self, case: Case) -> tuple[float, ...]:
        """Count the n-grams that occurred before in this answer, and all of them."""
        words = (words_apart(case.answer) if case.unspaced else case.answer).split()
        grams = [tuple(words[start : start + self.order]) for start in range(len(words) - self.order + 1)]
        return len(grams) - len(set(grams)), len(grams)

    def score(self, sums: Array, n: int) -> Array:
        """Compute (..., 2) -> (...) in points; 0 where every answer is shorter than an n-gram."""
        repeated, total = sums[..., 0], sums[..., 1]
        return 100 * repeated / np.maximum(total, 1)

    def signature(self, reference_counts: Iterable[int], language: str = "") -> str:
        """Give one in the manner of sacrebleu's."""
        words = "letters" if is_unspaced(language) else "whitespace"
        return f"seq-rep-{self.order}|case:mixed|tok:{words}|version:{self.version}"


class RepeatedTrigrams(RepetitionRate):
    """The same of 3-grams, which shorter answers have, too."""

    name, label = "repetition3", "Repeated trigrams"
    scale = "repeated 3-grams in 100 of an answer's own"
    catches = (
        "How much the answers repeat themselves: the share of 3-grams of words that were written before."
    )
    order = 3
