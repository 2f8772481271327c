"""One answer against its reference. A score of one sentence is noisy: it points, and decides nothing."""

from collections.abc import Mapping, Sequence

from hybrid.metrics import METRICS, Metric, score
from hybrid.schema import Score


def scores(task: str, texts: Sequence[str], references: Sequence[str]) -> dict[str, Score]:
    """Score all `texts` together, each against its reference, by the metric's label, such as BLEU.

    Empty for a task without metrics and without texts. Points from 0 to 100, see `hybrid.metrics`.
    """
    alone = [[reference] for reference in references]
    if not texts:
        return {}
    return {metric.label: score(metric.name, texts, alone) for metric in _metrics(task)}


def labels(task: str) -> tuple[str, ...]:
    """Name what `scores` gives for the task."""
    return tuple(metric.label for metric in _metrics(task))


def in_words(scores: Mapping[str, Score]) -> str:
    """Put scores in a line: `chrF 61.2, BLEU 34.5`."""
    return ", ".join(f"{label} {score.value:.1f}" for label, score in scores.items())


def _metrics(task: str) -> list[Metric]:
    """What says something of one sentence, in the order in which it is shown."""
    metrics = [metric for metric in METRICS.values() if metric.live and task in metric.tasks]
    return sorted(metrics, key=lambda metric: metric.live)
