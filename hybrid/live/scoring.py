"""One answer against its reference. A score of one sentence is noisy: it points, and decides nothing."""

from collections.abc import Mapping, Sequence

from hybrid.metrics import METRICS, score
from hybrid.schema import Score

# What is known to say something of one sentence, the main one first.
OF_TASK: Mapping[str, tuple[str, ...]] = {"translate-en-de": ("chrf", "bleu"), "summarize": ("rougeL",)}


def scores(task: str, texts: Sequence[str], references: Sequence[str]) -> dict[str, Score]:
    """By the metric's label, such as BLEU: the score of all `texts` together, each against its reference.

    Empty for a task without metrics and without texts. Points from 0 to 100, see `hybrid.metrics`.
    """
    wanted = [[reference] for reference in references]
    if not texts:
        return {}
    return {METRICS[name].label: score(name, texts, wanted) for name in OF_TASK.get(task, ())}


def labels(task: str) -> tuple[str, ...]:
    """What `scores` gives for the task."""
    return tuple(METRICS[name].label for name in OF_TASK.get(task, ()))


def in_words(found: Mapping[str, Score]) -> str:
    """`chrF 61.2, BLEU 34.5`."""
    return ", ".join(f"{label} {one.value:.1f}" for label, one in found.items())
