"""What the figures and scores of a few answers say. One run carries no interval, and none is claimed.

A score of one sentence is noisy, too: it points, and decides nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hybrid.format import SAME, faster, milliseconds
from hybrid.live.answers import Answers
from hybrid.metrics import METRICS, Metric, score, score_alone
from hybrid.schema import BASELINE, METHODS, Generation, Score, System, Task

HYBRID = System("hybrid")


@dataclass(frozen=True)
class Speedup:
    """How many times as fast one answer came as another; above 1 is faster.

    per_token: ratio of times per output token; None when an answer has one token.
    end_to_end: ratio of total times; the answers' lengths may differ.
    """

    per_token: float | None
    end_to_end: float


def baseline_of(systems: Iterable[System]) -> System:
    """Tell what the others are compared with: the LLM where it is one of them, else the first."""
    present = list(systems)
    return BASELINE if BASELINE in present else present[0]


def speedup(answer: Generation, baseline: Generation) -> Speedup:
    """How many times as fast `answer` came as `baseline`."""
    own, other = answer.timing, baseline.timing
    per_token = other.tpot_s / own.tpot_s if own.tpot_s and other.tpot_s else None
    return Speedup(per_token, other.total_s / own.total_s)


def verdict(answers: Answers) -> str:
    """One plain sentence on this prompt: hybrid against LLM, else the fastest against the baseline."""
    return verdict_on({system: answer.timing.total_s for system, answer in answers.items()})


def verdict_on(times_s: Mapping[System, float], gains: Mapping[System, float] | None = None) -> str:
    """Say the same, of total times in seconds.

    gains: how many times as fast as the baseline each is, where that is not the ratio of these times.
    """
    base = baseline_of(times_s)
    judged = HYBRID if base == BASELINE and HYBRID in times_s else min(times_s, key=times_s.__getitem__)
    if len(times_s) == 1:
        return f"{_name(base)} answered in {milliseconds(times_s[base])}."
    if judged == base:  # which the others are compared with, and yet the fastest
        judged = min((s for s in times_s if s != base), key=times_s.__getitem__)
    both = f"{milliseconds(times_s[judged])} against {milliseconds(times_s[base])}"
    ratio = gains[judged] if gains else times_s[base] / times_s[judged]
    if max(ratio, 1 / ratio) < SAME:
        return f"{_name(judged)} and {_name(base)} answered equally fast: {both}."
    return f"{_name(judged)} answered {faster(ratio, ('sooner', 'later'))} than {_the(base)}: {both}."


def remarks(answers: Answers) -> list[str]:
    """Tell what a reader must know before comparing these answers, in sentences."""
    cut = [s.label for s, answer in answers.items() if answer.finish_reason == "length"]
    silent = [s.label for s, answer in answers.items() if not answer.text.strip()]
    disturbed = [s.label for s, answer in answers.items() if answer.timing.disturbed]
    systems_by_remark = {
        "Stopped at the limit of new tokens, before the answer's end": cut,
        "Answered with no text": silent,
        "Not its own times, as the process was stopped or starved meanwhile; ask again": disturbed,
    }
    return [f"{what}: {', '.join(names)}." for what, names in systems_by_remark.items() if names]


def fidelity_in_words(system: System, text: str, llm_text: str) -> str:
    """Say of a lossless system whether it wrote what the LLM wrote; empty for others."""
    if not METHODS[system.method].lossless:
        return ""
    return "The LLM's own answer" if text == llm_text else "Not the LLM's own answer: precision, or rounding"


def _name(system: System) -> str:
    """In a sentence `alone` says nothing: it is about several."""
    return system.label.replace(" alone", "")


def _the(system: System) -> str:
    return f"the {_name(system)}" if system.method in ("llm", "slm") else _name(system)


def scores(task: Task, texts: Sequence[str], references: Sequence[str]) -> dict[str, Score]:
    """Score all `texts` together, each against its reference, by the metric's label, such as BLEU.

    A single one is scored as a sentence. Empty for a task without metrics and without texts.
    Points from 0 to 100, see `hybrid.metrics`.
    """
    if not texts:
        return {}
    if len(texts) == 1:
        return {
            metric.label: score_alone(metric.name, texts[0], references, task.target_language)
            for metric in _metrics(task)
        }
    single = [[reference] for reference in references]
    return {
        metric.label: score(metric.name, texts, single, task.target_language) for metric in _metrics(task)
    }


def labels(task: Task) -> tuple[str, ...]:
    """Name what `scores` gives for the task."""
    return tuple(metric.label for metric in _metrics(task))


def scores_in_words(scores: Mapping[str, Score]) -> str:
    """Put scores in a line: `chrF 61.2, BLEU 34.5`."""
    return ", ".join(f"{label} {score.value:.1f}" for label, score in scores.items())


def _metrics(task: Task) -> list[Metric]:
    """Tell what says something of one sentence, in the order in which it is shown."""
    metrics = [metric for metric in METRICS.values() if metric.live and metric.judges(task)]
    return sorted(metrics, key=lambda metric: metric.live)
