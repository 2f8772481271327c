"""ROUGE-1, -2 and -L through rouge-score: F1, no stemming, the best of several references.

rouge-score's own tokenizer keeps a-z and 0-9 only: it cuts "café" to "caf", and of a Russian text leaves
nothing, so that any answer scores 0. Words here are runs of letters and digits of any script, which is
the same for ASCII.
"""

import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from hybrid.metrics.contract import Array, Case, Metric, is_unspaced, reference_count, words_apart

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer


class UnicodeWords:
    """A tokenizer for rouge-score: lower case, words of letters, digits and their marks, of any script.

    apart: whether the letters of scripts without spaces, such as Chinese, are words, as LCSTS (Hu et al.
    2015, arXiv 1506.05865) counts them; otherwise such a text is one word up to its next punctuation.
    """

    def __init__(self, apart: bool = False) -> None:
        self._apart = apart
        self.name = "unicode-letters" if apart else "unicode"

    def tokenize(self, text: str) -> list[str]:
        """Split into words; composed characters first, so that both ways to write one are the same."""
        lowered = unicodedata.normalize("NFC", words_apart(text) if self._apart else text).lower()
        return "".join(letter if _is_of_a_word(letter) else " " for letter in lowered).split()


class Rouge(Metric):
    """One ROUGE; its name is rouge-score's. Statistics: an answer's F1, 0 to 1."""

    kinds = ("summary",)
    default = True
    width = 1
    version = 2  # 1: words of rouge-score's tokenizer

    def statistics(self, case: Case) -> tuple[float, ...]:
        """Score one answer with rouge-score."""
        scores = _scorer(self.name, case.unspaced).score_multi(list(case.references), case.answer)
        return (float(scores[self.name].fmeasure),)

    def score(self, sums: Array, n: int) -> Array:
        """Compute the mean F1 of n answers in points, (..., 1) -> (...)."""
        mean: Array = 100 * sums[..., 0] / n
        return mean

    def signature(self, reference_counts: Iterable[int], language: str = "") -> str:
        """Give one in the manner of sacrebleu's."""
        nrefs, words = reference_count(reference_counts), UnicodeWords(is_unspaced(language))
        return (
            f"nrefs:{nrefs}|{self.name}|F1|stem:no|refs:best|tok:{words.name}|"
            f"rouge-score:{version('rouge-score')}"
        )


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
def _scorer(name: str, apart: bool) -> "RougeScorer":
    from rouge_score import rouge_scorer

    return rouge_scorer.RougeScorer([name], tokenizer=UnicodeWords(apart))


@cache
def _is_of_a_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")
