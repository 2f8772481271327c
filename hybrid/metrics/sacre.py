"""BLEU, chrF, TER and length ratio: sacrebleu's defaults, its own segment statistics.

The scores of summed statistics are written again in NumPy, since sacrebleu
computes one at a time and a bootstrap needs thousands. Each function names the
sacrebleu function it repeats, and the tests hold the two together.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

Array = NDArray[np.float64]

BLEU_ORDER = 4  # sacrebleu.metrics.bleu.MAX_NGRAM_ORDER
CHRF_BETA = 2  # sacrebleu.metrics.chrf.CHRF.BETA


def bleu_statistics(text: str, references: Sequence[str]) -> tuple[float, ...]:
    """Words of the text, words of the reference closest in length, 4 matches, 4 totals."""
    return _statistics(_bleu(), text, references)


def bleu_values(sums: Array, n: int) -> Array:
    """Corpus BLEU, (..., 10) -> (...): sacrebleu's BLEU.compute_bleu with exponential smoothing."""
    made, wanted = sums[..., 0], sums[..., 1]
    correct, total = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    missed = correct == 0
    # Each order without a match counts as 1/2, 1/4, ... of one (NIST's mteval-v13a.pl).
    credited = np.where(missed, 0.5 ** np.cumsum(missed, axis=-1), correct)
    precisions = credited / np.maximum(total, 1)
    brevity = np.where(made < wanted, np.exp(1 - wanted / np.maximum(made, 1)), 1.0)
    score: Array = 100 * brevity * np.exp(np.log(precisions).mean(axis=-1))
    counts = (total > 0).all(axis=-1) & ~missed.all(axis=-1)  # else BLEU is 0
    return np.where(counts, score, 0.0)


def chrf_statistics(text: str, references: Sequence[str]) -> tuple[float, ...]:
    """Character n-grams of the text, of the best reference, and shared by both, for n = 1 to 6."""
    return _statistics(_chrf(), text, references)


def chrf_values(sums: Array, n: int) -> Array:
    """Corpus chrF2, (..., 18) -> (...): sacrebleu's CHRF._compute_f_score with effective order."""
    made, wanted, matched = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    there = (made > 0) & (wanted > 0)
    orders = np.maximum(there.sum(axis=-1), 1)
    precision = np.where(there, matched / np.maximum(made, 1), 0.0).sum(axis=-1) / orders
    recall = np.where(there, matched / np.maximum(wanted, 1), 0.0).sum(axis=-1) / orders
    weight = CHRF_BETA**2
    both = weight * precision + recall
    score: Array = 100 * (1 + weight) * precision * recall / np.where(both > 0, both, 1.0)
    return score


def ter_statistics(text: str, references: Sequence[str]) -> tuple[float, ...]:
    """Edits to the nearest reference, and the references' mean length in words."""
    return _statistics(_ter(), text, references)


def ter_values(sums: Array, n: int) -> Array:
    """Corpus TER, (..., 2) -> (...): sacrebleu's TER._compute_score_from_stats."""
    edits, words = sums[..., 0], sums[..., 1]
    return 100 * np.where(words > 0, edits / np.where(words > 0, words, 1.0), edits > 0)


def length_statistics(text: str, references: Sequence[str]) -> tuple[float, ...]:
    """Words of the text and of the reference closest in length: BLEU's sys_len and ref_len."""
    return bleu_statistics(text, references)[:2]


def length_values(sums: Array, n: int) -> Array:
    """Ratio of summed lengths, (..., 2) -> (...): sacrebleu's BLEUScore.ratio, 0 without references."""
    made, wanted = sums[..., 0], sums[..., 1]
    return np.where(wanted > 0, made / np.where(wanted > 0, wanted, 1.0), 0.0)


def bleu_signature(references: Iterable[int]) -> str:
    return _signature(_bleu(), references)


def chrf_signature(references: Iterable[int]) -> str:
    return _signature(_chrf(), references)


def ter_signature(references: Iterable[int]) -> str:
    return _signature(_ter(), references)


def length_signature(references: Iterable[int]) -> str:
    """The parts of BLEU's signature that the lengths depend on."""
    parts = bleu_signature(references).split("|")
    kept = [part for part in parts if part.partition(":")[0] in ("nrefs", "tok", "version")]
    return "|".join(["ratio:sys_len/ref_len", *kept])


BLEU = (bleu_statistics, bleu_values, bleu_signature)
CHRF = (chrf_statistics, chrf_values, chrf_signature)
TER = (ter_statistics, ter_values, ter_signature)
LENGTH = (length_statistics, length_values, length_signature)


def reference_count(references: Iterable[int]) -> str:
    """`nrefs` of a signature: the number, or "var" when it varies between examples."""
    numbers = set(references)
    return str(*numbers) if len(numbers) == 1 else "var"


def _statistics(metric: "Metric", text: str, references: Sequence[str]) -> tuple[float, ...]:
    # A corpus of one example: what sacrebleu's own corpus_score and significance tests sum.
    (found,) = metric._extract_corpus_statistics([text], [[reference] for reference in references])
    return tuple(found)


def _signature(metric: "Metric", references: Iterable[int]) -> str:
    numbers = set(references)
    metric.num_refs = numbers.pop() if len(numbers) == 1 else -1  # sacrebleu's mark for "var"
    return str(metric.get_signature())


@cache
def _bleu() -> "Metric":
    from sacrebleu.metrics.bleu import BLEU

    return BLEU()


@cache
def _chrf() -> "Metric":
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


@cache
def _ter() -> "Metric":
    from hybrid.metrics.ter import BatchedTER

    return BatchedTER()
