"""Quality of outputs: BLEU and chrF through sacrebleu, ROUGE-L through rouge-score.

A Score always carries the signature that says how it was computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from hybrid.errors import InputError

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric


@dataclass(frozen=True)
class Score:
    """One corpus-level score. value: 0 to 100; n: number of examples."""

    name: str
    value: float
    n: int
    signature: str


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """Corpus BLEU with sacrebleu's defaults."""
    from sacrebleu.metrics.bleu import BLEU

    return _sacrebleu(BLEU(), hypotheses, references)


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """Corpus chrF with sacrebleu's defaults."""
    from sacrebleu.metrics.chrf import CHRF

    return _sacrebleu(CHRF(), hypotheses, references)


def rouge_l(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """Mean ROUGE-L F1 without stemming; the best of several references counts."""
    from rouge_score import rouge_scorer

    _check(hypotheses, references)
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    values = [
        scorer.score_multi(list(wanted), made)["rougeL"].fmeasure
        for made, wanted in zip(hypotheses, references, strict=True)
    ]
    signature = f"rouge-score:{version('rouge-score')}|rougeL|F1|stem:no|refs:best"
    return Score("ROUGE-L", 100 * sum(values) / len(values), len(values), signature)


def _sacrebleu(metric: "Metric", hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    _check(hypotheses, references)
    result = metric.corpus_score(list(hypotheses), [list(references)])
    return Score(result.name, result.score, len(hypotheses), str(metric.get_signature()))


def _check(hypotheses: Sequence[str], references: Sequence[object]) -> None:
    if not hypotheses or len(hypotheses) != len(references):
        raise InputError(f"There are {len(hypotheses)} outputs and {len(references)} references to score.")
