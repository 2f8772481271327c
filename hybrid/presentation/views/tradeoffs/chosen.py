"""The runs that the Trade-offs figures show, and what each figure is: drawing, sentence and table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import plotly.graph_objects as go

from hybrid.compare import Estimate
from hybrid.compare.verdict import interval, milliseconds
from hybrid.presentation.charts.parts import Mark, Range
from hybrid.presentation.views.digest import Digest, Row
from hybrid.presentation.views.tradeoffs.between import Between
from hybrid.presentation.views.tradeoffs.marks import Key, marks, ordered
from hybrid.presentation.views.tradeoffs.measured import Times, Tradeoffs
from hybrid.schema import System
from hybrid.store.tables import Cell, Table

COLUMNS = {
    "run": "its id",
    "system": "METHOD, or METHOD@ENGINE",
    "engine": "that it ran in",
    "device": "that it ran on",
    "batch_size": "prompts answered at once",
}
MAIN = ("llm", "hybrid")  # whose numbers a sentence gives


@dataclass(frozen=True)
class Drawn:
    """says: sentences with numbers, units and n; plain text that may hold names from elsewhere."""

    figure: go.Figure
    says: str
    table: Table


@dataclass(frozen=True)
class Shown:
    """One system of one run."""

    run_id: str
    system: System
    mark: Mark
    times: Times
    row: Row

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Of COLUMNS."""
        row = self.row
        return self.run_id, self.system, row["engine"], row["device_name"], row["batch_size"]


@dataclass(frozen=True)
class Chosen:
    """Runs, and the systems of them that are shown. marks: also of those that are not, so that looks stay."""

    runs: tuple[tuple[Digest, Tradeoffs], ...]
    between: Between
    marks: Mapping[Key, Mark]
    systems: frozenset[System]

    def __iter__(self) -> Iterator[Shown]:
        for digest, times in self.runs:
            for system in ordered(times.systems):
                if system in self.systems and system in digest.rows:
                    key = digest.run_id, system
                    yield Shown(*key, self.marks[key], times.systems[system], digest.rows[system])

    @property
    def main(self) -> list[Shown]:
        """The LLM and the hybrid of the first run, as far as they are shown; else the first two systems."""
        shown = list(self)
        first = [one for one in shown if one.run_id == self.runs[0][0].run_id and one.system in MAIN]
        return first or shown[:2]

    @property
    def unit(self) -> str:
        """What a time belongs to: an answer, or the whole batch that holds it."""
        return "batch" if self._batched else "answer"

    @property
    def remark(self) -> str:
        """What to add to a sentence on times, with a space before it; mostly nothing."""
        return " Answers of a batch share its times, and n counts batches." if self._batched else ""

    @property
    def _batched(self) -> bool:
        return any(times.batch_size > 1 for _, times in self.runs)

    def of_task(self, task: str) -> "Chosen":
        """Without the runs of other tasks."""
        kept = [run for run in self.runs if task_of(run[0]) == task]
        return replace(self, runs=tuple(kept))


def chosen(
    runs: Sequence[tuple[Digest, Tradeoffs]], between: Between, systems: Sequence[System] = ()
) -> Chosen:
    """systems: to be shown, where there are such; all when none is named."""
    there = {system for _, times in runs for system in times.systems}
    wanted = frozenset(systems) & there or frozenset(there)
    return Chosen(tuple(runs), between, marks([digest for digest, _ in runs]), wanted)


def task_of(digest: Digest) -> str:
    """The run's task; empty when nothing has been answered."""
    return next((str(row["task"]) for row in digest.rows.values()), "")


def ends(found: Estimate) -> Range:
    """For an error bar."""
    return found.value, found.low, found.high


def in_ms(found: Estimate) -> str:
    """`23.8 ms [22.1, 28.9]`."""
    if found.low is None or found.high is None:
        return f"{milliseconds(found.value)} ms"
    return f"{milliseconds(found.value)} ms [{milliseconds(found.low)}, {milliseconds(found.high)}]"


def scored(found: Estimate, label: str) -> str:
    """`25.0 BLEU [19.4, 30.4]`."""
    return f"{found.value:.1f} {label}{interval(found, 1)}"


def titled(words: str) -> str:
    """With a capital letter, the others as they are."""
    return words[:1].upper() + words[1:]


def listed(names: Sequence[str], most: int = 5) -> str:
    """`a, b and 3 more`."""
    if len(names) <= most:
        return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    return f"{', '.join(names[:most])} and {len(names) - most} more"
