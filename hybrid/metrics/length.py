"""Length ratio: words of the answers over words of the references, as BLEU counts both."""

from collections.abc import Iterable, Sequence

import numpy as np

from hybrid.metrics.contract import Array, Metric
from hybrid.metrics.sacre import Bleu


class LengthRatio(Metric):
    """Statistics: words of the answer and of the reference closest in length, BLEU's sys_len and ref_len."""

    name, label, unit = "length", "Length ratio", "ratio"
    scale = "words over the references' words"
    higher_is_better = None
    tasks = ("translate-en-de", "summarize")
    default = True
    width = 2

    def statistics(self, answer: str, references: Sequence[str], source: str = "") -> tuple[float, ...]:
        """Take the first two of BLEU's statistics."""
        return Bleu().statistics(answer, references)[:2]

    def score(self, sums: Array, n: int) -> Array:
        """Compute (..., 2) -> (...): sacrebleu's BLEUScore.ratio, 0 without references."""
        words, reference_words = sums[..., 0], sums[..., 1]
        known = reference_words > 0
        return np.where(known, words / np.where(known, reference_words, 1.0), 0.0)

    def signature(self, reference_counts: Iterable[int]) -> str:
        """Give the parts of BLEU's signature that the lengths depend on."""
        parts = Bleu().signature(reference_counts).split("|")
        relevant = [part for part in parts if part.partition(":")[0] in ("nrefs", "tok", "version")]
        return "|".join(["ratio:sys_len/ref_len", *relevant])
