"""The runs and systems that the Trade-offs figures show: how each looks, and in what the runs differ."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hybrid.compare.warnings import run_differences
from hybrid.format import listed
from hybrid.measuring.probes import BUSY_MARK
from hybrid.presentation.charts import Mark
from hybrid.presentation.runs.digest import Row, RunDigest
from hybrid.presentation.tradeoffs.results import SystemTimes, Tradeoffs
from hybrid.schema import METHODS, Run, System, Task
from hybrid.store import run_of
from hybrid.store.private import with_like_hashes
from hybrid.store.tables import Cell

Key = tuple[str, System]  # run id, system
COLUMNS = {
    "run": "its id",
    "system": "METHOD, or METHOD@ENGINE",
    "engine": "that it ran in",
    "device": "that it ran on",
    "batch_size": "prompts answered at once",
}
MAIN = ("llm", "slm", "hybrid")  # whose numbers a sentence gives

# What runs may differ in besides what a figure shows anyway: pair, engine, system.
_KINDS: Mapping[str, Callable[[Run], Hashable]] = {
    "machine": lambda run: (
        run.environment.device_name, run.environment.cpu, run.environment.cpu_count,
        run.environment.hardware.fingerprint,
    ),
    "software": lambda run: (
        run.environment.product, run.environment.code, run.environment.python, run.environment.system,
        tuple(sorted(run.environment.packages.items())),
    ),
    "precision": lambda run: run.plan.dtype,
    "threads": lambda run: run.plan.threads,
    "batch size": lambda run: run.plan.batch_size,
    "decoding": lambda run: run.plan.sampling,
    "texts": lambda run: (run.plan.suite_hash, (run.plan.limit, run.plan.seed) if run.plan.limit else None),
}  # fmt: skip
# Where these differ, neither time nor quality of two runs can be set against each other.
_APART = ("machine", "threads", "batch size", "decoding", "texts")


@dataclass(frozen=True)
class RunDifferences:
    """In what the runs on one figure differ.

    kinds: in our own words. sentences: one for each difference, with both values.
    groups: by run id, the same for runs whose absolute numbers can be compared.
    """

    kinds: tuple[str, ...]
    sentences: tuple[str, ...]
    groups: Mapping[str, Hashable]

    @property
    def flag(self) -> str:
        """A warning for the figure; empty when nothing differs."""
        if not self.kinds:
            return ""
        apart = len(set(self.groups.values())) > 1
        return f"These runs differ in {listed(self.kinds)}" + ": do not compare across them" * apart


@dataclass(frozen=True)
class SelectedSystem:
    """One system of one run."""

    run_id: str
    system: System
    mark: Mark
    times: SystemTimes
    row: Row

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of COLUMNS."""
        row = self.row
        return self.run_id, str(self.system), row["engine"], row["device_name"], row["batch_size"]


@dataclass(frozen=True)
class FigureSelection:
    """Runs, and the systems of them that are shown. marks: also of those that are not, so that looks stay."""

    runs: tuple[tuple[RunDigest, Tradeoffs], ...]
    differences: RunDifferences
    marks: Mapping[Key, Mark]
    systems: frozenset[System]

    def __iter__(self) -> Iterator[SelectedSystem]:
        for digest, times in self.runs:
            for system in ordered(times.systems):
                if system in self.systems and system in digest.rows:
                    key = digest.run_id, system
                    yield SelectedSystem(*key, self.marks[key], times.systems[system], digest.rows[system])

    @property
    def main(self) -> list[SelectedSystem]:
        """The LLM, the SLM and the hybrid of the first run, as far as shown; else the first two systems."""
        systems = list(self)
        run_id = self.runs[0][0].run_id
        first = [
            selected for selected in systems if selected.run_id == run_id and str(selected.system) in MAIN
        ]
        return first or systems[:2]

    def is_main(self, selected: SelectedSystem) -> bool:
        """Tell whether a sentence gives the numbers of this system."""
        return (selected.run_id, selected.system) in {(main.run_id, main.system) for main in self.main}

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

    def of_task(self, task: Task) -> "FigureSelection":
        """Leave out the runs of other tasks."""
        return replace(self, runs=tuple(run for run in self.runs if run[0].task.name == task.name))


def select(
    runs: Sequence[tuple[RunDigest, Tradeoffs]], differences: RunDifferences, systems: Sequence[System] = ()
) -> FigureSelection:
    """Select systems of runs. systems: to be shown, where there are such; all when none is named."""
    present = {system for _, times in runs for system in times.systems}
    chosen = frozenset(systems) & present or frozenset(present)
    return FigureSelection(tuple(runs), differences, marks_of([digest for digest, _ in runs]), chosen)


def stored_differences(run_ids: Sequence[str], root: Path | None = None) -> RunDifferences:
    """Say in what stored runs differ. Raises StoreError."""
    runs = [run_of(run_id, root) for run_id in run_ids]
    plans = with_like_hashes([run.plan for run in runs])
    return differences_of([replace(run, plan=plan) for run, plan in zip(runs, plans, strict=True)])


def differences_of(runs: Sequence[Run]) -> RunDifferences:
    """Say the same of runs that are loaded."""
    kinds = [name for name, value in _KINDS.items() if len({value(run) for run in runs}) > 1]
    groups = {run.run_id: tuple(_KINDS[name](run) for name in _APART) for run in runs}
    return RunDifferences(tuple(kinds), tuple(run_differences(runs)), groups)


def marks_of(digests: Sequence[RunDigest]) -> Mapping[Key, Mark]:
    """Give each system the method's colour; symbol and dash by engine, and by run when there are several.

    Several runs are told apart by a tag in each name, see tags_of().
    """
    tags = tags_of([digest.run_id for digest in digests])
    keys = [(digest, system) for digest in digests for system in ordered(digest.rows)]
    engines = list(dict.fromkeys(_engine(*key) for key in keys))
    marks = {}
    for digest, system in keys:
        name = METHODS[system.method].label + f" in {system.engine}" * bool(system.engine)
        name += f" (run {tags[digest.run_id]})" if len(digests) > 1 else ""
        name += BUSY_MARK * bool(digest.rows[system].get("busy"))
        marks[digest.run_id, system] = Mark.of(name, system, engines.index(_engine(digest, system)))
    return marks


def tags_of(run_ids: Sequence[str]) -> dict[str, str]:
    """Return by run id its last part; the whole id where two have the same."""
    tails = [run_id.rpartition("-")[2] for run_id in run_ids]
    pairs = zip(run_ids, tails, strict=True)
    return {run_id: tail if tails.count(tail) == 1 else run_id for run_id, tail in pairs}


def ordered(systems: Iterable[System]) -> list[System]:
    """Order by method: first those of the plan's own engine, then those of other engines."""
    return sorted(systems, key=lambda system: (system.engine is not None, list(METHODS).index(system.method)))


def _engine(digest: RunDigest, system: System) -> tuple[str, str]:
    return digest.run_id, str(digest.rows[system].get("engine"))
