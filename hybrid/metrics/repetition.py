"""Repetition rate: the share of 4-grams of words that an answer has written before."""

from collections.abc import Iterable, Sequence

import numpy as np

from hybrid.metrics.contract import UNSPACED, Array, Metric, primary, words_apart

ORDER = 4


class RepetitionRate(Metric):
    """Statistics: repeated 4-grams of the answer, and all of them; references are not looked at.

    seq-rep-4 of Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training"
    (arXiv 1908.04319), 1 - unique / all, summed over the corpus; words are what white space parts,
    and single letters of languages that set none.
    """

    name, label = "repetition", "Repetition"
    scale = "repeated 4-grams in 100 of an answer's own"
    higher_is_better = False
    kinds = ("translation", "summary")
    width = 2

    def statistics(
        self, answer: str, references: Sequence[str], source: str = "", language: str = ""
    ) -> tuple[float, ...]:
        """Count the 4-grams that occurred before in this answer, and all of them."""
        words = (words_apart(answer) if primary(language) in UNSPACED else answer).split()
        grams = [tuple(words[start : start + ORDER]) for start in range(len(words) - ORDER + 1)]
        return len(grams) - len(set(grams)), len(grams)

    def score(self, sums: Array, n: int) -> Array:
        """Compute (..., 2) -> (...) in points; 0 where every answer is shorter than a 4-gram."""
        repeated, total = sums[..., 0], sums[..., 1]
        return 100 * repeated / np.maximum(total, 1)

    def signature(self, reference_counts: Iterable[int], language: str = "") -> str:
        """Give one in the manner of sacrebleu's."""
        words = "letters" if primary(language) in UNSPACED else "whitespace"
        return f"seq-rep-{ORDER}|case:mixed|tok:{words}|version:{self.version}"
