"""Systems without a model beside measured ones: what can be read off a source, and who beats it.

Their answers are functions of the source, so that nothing of them is stored and nothing is timed: they are
written, and scored by what the run's systems were scored by, whenever runs are compared.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np

from hybrid.compare.bootstrap import Array, Difference, Estimate, Resamples
from hybrid.compare.results import LATENCIES, SystemResults, shared
from hybrid.errors import InputError
from hybrid.metrics import main_metric, statistics_of
from hybrid.schema import TRIVIAL, Example, Generation, Record, Run, System, Task, Timing
from hybrid.store import StoredRun

MOST = 500  # examples of a run that trivial systems answer, evenly spread: each takes a few ms to be scored
WORDS = 20
# A mark that ends a sentence, with the white space behind it; not after a title, a single letter or a number.
_END = re.compile(
    r"(?<!\b[A-Za-z])(?<!\b\d)(?<!\b\d\d)(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bNo)(?<!\bNr)(?<!\bMrs)"
    r"(?<!\bbzw)(?<!\bProf)(?<!\b[ap]\.m)(?<!\b[ei]\.[ge])[.]['\"”’»)\]]*\s+|[!?…。！？]+['\"”’»)\]]*\s*|\n+"
)


def sentences(text: str) -> list[str]:
    """Part a text at the marks that end sentences, and at line ends."""
    ends = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    parts = (text[start:end].strip() for start, end in pairwise(ends))
    return [part for part in parts if part]


# What each system of schema.TRIVIAL answers; an empty text where the source has no words.
ANSWERS: Mapping[str, Callable[[str], str]] = {
    "lead-1": lambda source: next(iter(sentences(source)), ""),
    "lead-20-words": lambda source: " ".join(source.split()[:WORDS]),
    "longest-sentence": lambda source: max(sentences(source), key=lambda part: len(part.split()), default=""),
    "copy": lambda source: source,
}


@dataclass(eq=False)
class TrivialResults(SystemResults):
    """What a system without a model answers to the examples of a run; it has no times."""

    @cached_property
    def all_times(self) -> dict[str, Array]:
        return dict.fromkeys(LATENCIES, np.full(len(self.records), np.nan))


@dataclass(frozen=True, kw_only=True)
class Lead:
    """The trivial system that a system beats least, or not at all, by the task's main metric.

    score: its own, over the examples that both answered. difference: the other system's minus its.
    """

    trivial: System
    score: Estimate
    difference: Difference

    @property
    def beaten(self) -> bool:
        """Whether it is certain that the system is better; of too few examples, whether it looks so."""
        return self.difference.value > 0 and (self.difference.decided or self.difference.low is None)

    @property
    def words(self) -> str:
        """What it is: the document's first 20 words."""
        return f"the document's {TRIVIAL[self.trivial.method].label.lower()}"


# Which trivial systems have answered what, by example; of a private run, which has no texts, its id.
Texts = set[tuple[System, str, tuple[tuple[str, str], ...]]]


def trivial_systems(
    names: Sequence[str],
    baseline: str,
    runs: Mapping[str, StoredRun],
    results: Mapping[str, Mapping[System, SystemResults]],
) -> dict[str, dict[System, SystemResults]]:
    """Give the systems without a model of each run: those of `names` beside summaries, and the baseline.

    Raises InputError for a name that is none of TRIVIAL.
    """
    for name in names:
        if name not in TRIVIAL:
            raise InputError(f"There is no trivial system {name!r}; available: {', '.join(TRIVIAL)}.")
    baselines = [name for name in (baseline.rpartition(":")[2],) if name in TRIVIAL]
    systems = {}
    for run_id, stored in runs.items():
        usual = names if stored.run.task.kind == "summary" else ()
        systems[run_id] = trivial_results([*usual, *baselines], results[run_id], stored.examples)
    return systems


def unlike(systems: Iterable[SystemResults], texts: Texts) -> Iterator[SystemResults]:
    """Leave out systems that have answered the same beside another run. texts: grows by the others'."""
    for system in systems:
        run_id = system.run.run_id if system.run.plan.private else ""
        key = system.system, run_id, tuple(system.sources.items())
        if key not in texts:
            texts.add(key)
            yield system


def stride(examples: int) -> int:
    """Say which of so many examples trivial systems answer: the first of every how many."""
    return max(1, math.ceil(examples / MOST))


def trivial_results(
    names: Iterable[str], systems: Mapping[System, SystemResults], examples: Sequence[Example]
) -> dict[System, SystemResults]:
    """Answer the examples of a run by trivial systems, and score the answers as those of its systems were.

    names: of TRIVIAL. systems: of the run. Without quality, as of a fixed length, there are none.
    """
    metrics = tuple(sorted({metric for results in systems.values() for metric in results.statistics}))
    run = next(iter(systems.values())).run
    if main_metric(run.task).name not in metrics:
        return {}
    answered = {example_id for results in systems.values() for example_id in results.ids}
    known = [example for example in examples if example.id in answered]
    known = known[:: stride(len(known))]
    if run.plan.private:
        known = [example for example in known if example.trivial]
    sources = {example.id: example.source for example in known}
    if not any(sources.values()) and not run.plan.private:
        return {}
    return {
        (system := System(name)): TrivialResults(
            run, system, sources, {e.id: [_record(system, run, e, metrics)] for e in known}
        )
        for name in names
        if known
    }


def lead_of(
    results: SystemResults, trivial: Mapping[System, SystemResults], resamples: Resamples
) -> Lead | None:
    """Set a system against trivial ones by the main metric; None where they share no scored example."""
    metric, leads = main_metric(results.run.task).name, list[Lead]()
    for system, other in trivial.items():
        rows, other_rows = shared(results, other)
        if not len(rows):
            continue
        scores, theirs = results.scores(resamples, rows), other.scores(resamples, other_rows)
        if metric in scores and metric in theirs:
            difference = scores[metric].minus(theirs[metric])
            leads.append(Lead(trivial=system, score=theirs[metric].estimate(), difference=difference))
    return min(leads, key=lambda lead: lead.difference.value, default=None)


def _record(system: System, run: Run, example: Example, metrics: tuple[str, ...]) -> Record:
    if stored := example.trivial.get(system.method):  # of a private run
        text, withheld = "", stored.withheld
        statistics = {name: row for name, row in stored.statistics.items() if name in metrics}
    else:
        withheld = None
        text, statistics = _answer(system.method, run.task, example.source, example.references, metrics)
    timing = Timing({}, (0.0,))
    return Record(
        example_id=example.id, repeat=0, batch=0, position=0, started_at="", statistics=statistics,
        generation=Generation(
            system=system, text=text, token_ids=(), prompt_tokens=0, finish_reason="eos", timing=timing,
            withheld=withheld,
        ),
    )  # fmt: skip


@lru_cache(maxsize=4 * MOST)  # runs of one suite are compared again and again
def _answer(
    name: str, task: Task, source: str, references: tuple[str, ...], metrics: tuple[str, ...]
) -> tuple[str, dict[str, tuple[float, ...]]]:
    text = ANSWERS[name](source)
    return text, statistics_of(task, text, references, source, metrics)
