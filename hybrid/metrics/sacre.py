"""BLEU, chrF, TER and the length ratio: sacrebleu's defaults, its own segment statistics.

The scores of summed statistics are written again in NumPy, since sacrebleu
computes one at a time and a bootstrap needs thousands. Each function names the
sacrebleu function it repeats, and the tests hold the two together.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hybrid.metrics.contract import Array, Metric

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacreMetric

BLEU_ORDER = 4  # sacrebleu.metrics.bleu.MAX_NGRAM_ORDER
CHRF_ORDER = 6  # sacrebleu.metrics.chrf.CHRF.CHAR_ORDER
CHRF_BETA = 2  # sacrebleu.metrics.chrf.CHRF.BETA


class Sacre(Metric):
    """A metric whose statistics and signature are sacrebleu's own."""

    # No BLEU or TER for summaries: nobody reads them.
    kinds = ("translation",)
    default = True
    sacre: ClassVar[str]  # the metric's name in sacrebleu

    def statistics(self, answer: str, references: Sequence[str], source: str = "") -> tuple[float, ...]:
        """Compute what sacrebleu's own corpus_score and significance tests sum: a corpus of one example."""
        metric = sacre_metric(self.sacre)
        (row,) = metric._extract_corpus_statistics([answer], [[reference] for reference in references])
        return tuple(row)

    def signature(self, reference_counts: Iterable[int]) -> str:
        """Give sacrebleu's signature."""
        metric, counts = sacre_metric(self.sacre), set(reference_counts)
        metric.num_refs = counts.pop() if len(counts) == 1 else -1  # sacrebleu's mark for "var"
        return str(metric.get_signature())


class Bleu(Sacre):
    """Statistics: words of the answer, of the reference closest in length, 4 matches, 4 totals."""

    name, label, sacre = "bleu", "BLEU", "BLEU"
    main = True
    live = 2
    width = 2 + 2 * BLEU_ORDER

    def score(self, sums: Array, n: int) -> Array:
        """Compute (..., 10) -> (...): sacrebleu's BLEU.compute_bleu with exponential smoothing."""
        return self._score(sums, effective_order=False)

    def score_alone(self, statistics: Array) -> Array:
        """Compute (..., 10) -> (...): sacrebleu's sentence_bleu, which takes the orders that an answer has.

        An answer of three words has no 4-grams: as a corpus it scores 0 however good it is.
        """
        return self._score(statistics, effective_order=True)

    def signature_alone(self, reference_counts: Iterable[int]) -> str:
        """Give the signature of sacrebleu's sentence_bleu."""
        return self.signature(reference_counts).replace("|eff:no|", "|eff:yes|")

    def _score(self, sums: Array, effective_order: bool) -> Array:
        words, reference_words = sums[..., 0], sums[..., 1]
        correct, total = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
        missed = correct == 0
        # Each order without a match counts as 1/2, 1/4, ... of one (NIST's mteval-v13a.pl).
        credited = np.where(missed, 0.5 ** np.cumsum(missed, axis=-1), correct)
        precisions = credited / np.maximum(total, 1)
        too_short = words < reference_words
        brevity = np.where(too_short, np.exp(1 - reference_words / np.maximum(words, 1)), 1.0)
        used = total > 0 if effective_order else np.ones_like(missed)
        orders = np.maximum(used.sum(axis=-1), 1)
        score: Array = 100 * brevity * np.exp((np.log(precisions) * used).sum(axis=-1) / orders)
        counts = (total > 0).any(axis=-1) if effective_order else (total > 0).all(axis=-1)
        return np.where(counts & ~missed.all(axis=-1), score, 0.0)


class Chrf(Sacre):
    """Statistics: character n-grams of the answer, of the best reference, and shared, for n = 1 to 6."""

    name, label, sacre = "chrf", "chrF", "CHRF"
    live = 1
    width = 3 * CHRF_ORDER

    def score(self, sums: Array, n: int) -> Array:
        """Compute chrF2, (..., 18) -> (...): sacrebleu's CHRF._compute_f_score with effective order."""
        ngrams, reference_ngrams, matched = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
        present = (ngrams > 0) & (reference_ngrams > 0)
        orders = np.maximum(present.sum(axis=-1), 1)
        precision = np.where(present, matched / np.maximum(ngrams, 1), 0.0).sum(axis=-1) / orders
        recall = np.where(present, matched / np.maximum(reference_ngrams, 1), 0.0).sum(axis=-1) / orders
        weight = CHRF_BETA**2
        both = weight * precision + recall
        score: Array = 100 * (1 + weight) * precision * recall / np.where(both > 0, both, 1.0)
        return score


class Ter(Sacre):
    """Statistics: edits to the nearest reference, and the references' mean length in words."""

    name, label, sacre = "ter", "TER", "TER"
    scale = "edits per 100 reference words, may exceed 100"
    unscored = "an answer or reference of more than 512 words has no TER"  # see hybrid.metrics.ter
    higher_is_better = False
    width = 2

    def score(self, sums: Array, n: int) -> Array:
        """Compute (..., 2) -> (...): sacrebleu's TER._compute_score_from_stats."""
        edits, words = sums[..., 0], sums[..., 1]
        return 100 * np.where(words > 0, edits / np.where(words > 0, words, 1.0), edits > 0)


class LengthRatio(Metric):
    """Words of the answers over words of the references, as BLEU counts both.

    Statistics: BLEU's sys_len and ref_len, of the reference closest in length.
    """

    name, label, unit = "length", "Length ratio", "ratio"
    scale = "words over the references' words"
    higher_is_better = None
    kinds = ("translation", "summary")
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


@cache
def sacre_metric(name: str) -> "SacreMetric":
    """Make sacrebleu's own metric with its defaults; imports it. name: BLEU, CHRF or TER."""
    if name == "TER":
        from hybrid.metrics.ter import BatchedTER

        return BatchedTER()
    from sacrebleu.metrics import bleu, chrf

    return bleu.BLEU() if name == "BLEU" else chrf.CHRF()
