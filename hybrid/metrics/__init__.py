"""Quality of outputs: BLEU, chrF and TER as sacrebleu computes them, ROUGE as rouge-score does.

A metric splits in two. `statistics` says what one answer contributes; `values`
turns summed contributions into the corpus score. A benchmark stores the first,
so that any subset or resample is scored later by summing, without the texts:

    sums = counts @ statistics        # (R, N) resamples of (N, k) examples -> (R, k)
    METRICS["bleu"].values(sums, n)   # (R,), each equal to sacrebleu's score of that resample

A Score always carries the signature that says how it was computed. sacrebleu
and rouge-score are imported when the first text is scored: `values` needs neither.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import InputError
from hybrid.metrics import rouge, sacre
from hybrid.schema import TASKS, Score

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """How one number is computed, and how to read it.

    name: its key in METRICS and in stored records. label: as people write it.
    unit: "points" (0 to 100; TER may exceed 100) or "ratio".
    higher_is_better: None for the length ratio, which is best near 1.
    statistics: (text, references) -> k numbers, to be summed over examples.
        Several references count as each metric's own authors define it.
    values: sums (..., k) over n examples -> corpus scores (...).
    signature: numbers of references that occur -> sacrebleu-style signature.
    """

    name: str
    label: str
    unit: str
    higher_is_better: bool | None
    statistics: Callable[[str, Sequence[str]], tuple[float, ...]]
    values: Callable[[Array, int], Array]
    signature: Callable[[Iterable[int]], str]


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("bleu", "BLEU", "points", True, *sacre.BLEU),
        Metric("chrf", "chrF", "points", True, *sacre.CHRF),
        Metric("ter", "TER", "points", False, *sacre.TER),
        Metric("rougeL", "ROUGE-L", "points", True, *rouge.parts("rougeL")),
        Metric("rouge1", "ROUGE-1", "points", True, *rouge.parts("rouge1")),
        Metric("rouge2", "ROUGE-2", "points", True, *rouge.parts("rouge2")),
        Metric("length", "Length ratio", "ratio", None, *sacre.LENGTH),
    )
}

# The main metric first. No ROUGE for German: rouge-score keeps a-z and 0-9 only,
# so it would cut "groß" to "gro". No BLEU or TER for summaries: nobody reads them.
_OF_TASK: Mapping[str, tuple[str, ...]] = {
    "translate-en-de": ("bleu", "chrf", "ter", "length"),
    "summarize": ("rougeL", "rouge1", "rouge2", "length"),
}


def metrics_of(task: str) -> tuple[str, ...]:
    """Names of the metrics a task is judged by, the main one first. Raises InputError."""
    if task not in _OF_TASK:
        raise InputError(f"There is no task {task!r}; available: {', '.join(TASKS)}.")
    return _OF_TASK[task]


def statistics_of(task: str, text: str, references: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """What a Record of `task` stores about one answer, by metric. Raises InputError without references."""
    if not references:
        raise InputError("An answer cannot be scored without a reference.")
    return {name: METRICS[name].statistics(text, references) for name in metrics_of(task)}


def signatures_of(task: str, references: Iterable[Sequence[str]]) -> dict[str, str]:
    """What a Run of `task` stores about its metrics: their signatures, by metric.

    references: of each example; "nrefs:var" when their number varies, as sacrebleu writes it.
    """
    numbers = {len(wanted) for wanted in references}
    return {name: METRICS[name].signature(numbers) for name in metrics_of(task)}


def score(metric: str, texts: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """The corpus score of `texts`, one for each example, against each example's references.

    Raises InputError for an unknown metric, no texts, unequal numbers of both,
    or an example without references.
    """
    if metric not in METRICS:
        raise InputError(f"There is no metric {metric!r}; available: {', '.join(METRICS)}.")
    if not texts or len(texts) != len(references):
        raise InputError(f"There are {len(texts)} outputs and {len(references)} references to score.")
    if not all(references):
        raise InputError("An answer cannot be scored without a reference.")
    chosen = METRICS[metric]
    rows = [chosen.statistics(text, wanted) for text, wanted in zip(texts, references, strict=True)]
    value = float(chosen.values(np.array(rows, dtype=np.float64).sum(axis=0), len(rows)))
    return Score(metric, value, len(rows), chosen.signature({len(wanted) for wanted in references}))
