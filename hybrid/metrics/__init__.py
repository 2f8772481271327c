"""Quality of outputs: BLEU, chrF and TER as sacrebleu computes them, ROUGE as rouge-score does; and checks.

Checks need no model: faithfulness to the source (faithfulness, numbers), what is copied
(extraction), and form (form, repetition). The words of languages that they know stand in vocabulary.

A metric splits in two. `statistics` says what one answer contributes; `score`
turns summed contributions into the corpus score. A run stores the first, so
that any subset or resample is scored later by summing, without the texts:

    sums = counts @ statistics       # (R, N) resamples of (N, k) examples -> (R, k)
    METRICS["bleu"].score(sums, n)   # (R,), each equal to sacrebleu's score of that resample

Texts are normalized before they are scored, see hybrid.schema.texts: composed and
decomposed accents, other blanks and invisible characters change no score.

A Score always carries the signature that says how it was computed. sacrebleu
and rouge-score are imported when the first text is scored: reading scores needs neither.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from hybrid.errors import InputError
from hybrid.metrics.contract import USUAL_TOKENIZERS, Array, Case, Check, Metric, tokenizer_of
from hybrid.metrics.extraction import Compression, Copies, Coverage, Density
from hybrid.metrics.faithfulness import InventedNames, InventedNumbers, LostNames, LostNumbers
from hybrid.metrics.form import Empty, OffLength, Repeating, Unfinished, WrongLanguage
from hybrid.metrics.repetition import RepeatedTrigrams, RepetitionRate
from hybrid.metrics.rouge import Rouge1, Rouge2, RougeL
from hybrid.metrics.sacre import Bleu, Chrf, LengthRatio, Ter
from hybrid.schema import Score, Task
from hybrid.schema.texts import normalized

__all__ = [
    "METRICS",
    "USUAL_TOKENIZERS",
    "Case",
    "Check",
    "Metric",
    "benchmark_metrics",
    "default_metrics",
    "main_metric",
    "metric_of",
    "metrics_of",
    "score",
    "score_alone",
    "signatures_of",
    "statistics_of",
    "tokenizer_of",
]

# One row a metric, in the order of columns and tables: new ones come last.
METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Bleu(), Chrf(), Ter(), RougeL(), Rouge1(), Rouge2(), LengthRatio(), RepetitionRate(),
        InventedNumbers(), LostNumbers(), InventedNames(), LostNames(), Copies(), Repeating(),
        RepeatedTrigrams(), Empty(), Unfinished(), WrongLanguage(), OffLength(), Coverage(), Density(),
        Compression(),
    )
}  # fmt: skip


def metrics_of(task: Task) -> tuple[str, ...]:
    """Name the metrics that can judge a task, the main one first."""
    metrics = [metric for metric in METRICS.values() if metric.judges(task)]
    return tuple(metric.name for metric in sorted(metrics, key=lambda metric: not metric.main))


def default_metrics(task: Task) -> tuple[str, ...]:
    """Name the metrics that every benchmark of a task is scored by, the main one first."""
    return tuple(name for name in metrics_of(task) if METRICS[name].default)


def benchmark_metrics(task: Task) -> tuple[str, ...]:
    """Name the metrics that a benchmark scores itself by: the default ones and all checks."""
    return tuple(name for name in metrics_of(task) if METRICS[name].default or METRICS[name].catches)


def main_metric(task: Task) -> Metric:
    """Give the metric that decides verdicts and gates of a task."""
    return METRICS[metrics_of(task)[0]]


def metric_of(name: str, task: Task) -> Metric:
    """Give the metric of this name. Raises InputError when there is none, or it cannot judge the task."""
    available = metrics_of(task)
    if name not in METRICS:
        raise InputError(f"There is no metric {name!r}; available for {task.name}: {', '.join(available)}.")
    if name not in available:
        raise InputError(f"The metric {name} cannot judge {task.name}; available: {', '.join(available)}.")
    return METRICS[name]


def statistics_of(
    task: Task,
    answer: str,
    references: Sequence[str],
    source: str = "",
    metrics: Iterable[str] | None = None,
) -> dict[str, tuple[float, ...]]:
    """Compute what one answer adds to metrics of a task, but those that leave it without a score.

    source: what was to be answered. metrics: names in METRICS; the default ones when None.
    Raises InputError without references.
    """
    _check_references([references])
    case = Case(
        normalized(answer),
        tuple(map(normalized, references)),
        normalized(source),
        task.target_language,
        task.source_language,
    )
    names = default_metrics(task) if metrics is None else metrics
    rows = {name: METRICS[name].statistics(case) for name in names}
    return {name: row for name, row in rows.items() if all(map(math.isfinite, row))}


def score(
    metric: str, texts: Sequence[str], references: Sequence[Sequence[str]], language: str = ""
) -> Score:
    """Score `texts`, one for each example, against each example's references, as one corpus.

    language: of the texts, as Task.target_language: some metrics tell words apart by it.
    Raises InputError for an unknown metric, no texts, unequal numbers of both,
    or an example without references.
    """
    rows = _statistics(metric, texts, references, language)
    value = float(METRICS[metric].score(rows.sum(axis=0), len(rows)))
    signature = METRICS[metric].signature({len(known) for known in references}, language)
    return Score(metric, value, len(rows), signature)


def score_alone(metric: str, text: str, references: Sequence[str], language: str = "") -> Score:
    """Score one answer that stands for itself: BLEU as sacrebleu's sentence_bleu, which short ones need.

    Raises InputError for an unknown metric, or without references.
    """
    (row,) = _statistics(metric, [text], [references], language)
    value = float(METRICS[metric].score_alone(row))
    return Score(metric, value, 1, METRICS[metric].signature_alone({len(references)}, language))


def signatures_of(task: Task, references: Iterable[Sequence[str]]) -> dict[str, str]:
    """Give the signatures of the default metrics of a task, by metric.

    references: of each example; "nrefs:var" when their number varies, as sacrebleu writes it.
    """
    counts = {len(known) for known in references}
    return {name: METRICS[name].signature(counts, task.target_language) for name in default_metrics(task)}


def _statistics(
    metric: str, texts: Sequence[str], references: Sequence[Sequence[str]], language: str
) -> Array:
    """Compute what each of N texts adds, (N, width). Raises InputError as score() does."""
    if metric not in METRICS:
        raise InputError(f"There is no metric {metric!r}; available: {', '.join(METRICS)}.")
    if not texts or len(texts) != len(references):
        raise InputError(f"There are {len(texts)} outputs and {len(references)} references to score.")
    _check_references(references)
    rows = [
        METRICS[metric].statistics(Case(normalized(text), tuple(map(normalized, known)), language=language))
        for text, known in zip(texts, references, strict=True)
    ]
    return np.array(rows, dtype=np.float64)


def _check_references(references: Iterable[Sequence[str]]) -> None:
    if not all(references):
        raise InputError("An answer cannot be scored without a reference.")
