"""One run beside its own LLM: its rows, verdicts and warnings; and what the newest runs say of the hybrid."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid.compare import compare_runs, summaries
from hybrid.compare.paired import quality_ratio
from hybrid.errors import InputError, StoreError
from hybrid.metrics import METRICS, metrics_of
from hybrid.presentation.runs.catalog import Entry
from hybrid.presentation.runs.disk_cache import cached_json
from hybrid.schema import BASELINE, TASKS, System
from hybrid.store import StoredRun, load_run
from hybrid.store.tables import Cell

Row = Mapping[str, Cell]
SYSTEM = System("hybrid")
MOST = 4
LATEST_OF_A_KIND = 3  # runs of one kind that are looked at before it is passed over

# A RunDigest as JSON.


@dataclass(frozen=True)
class RunDigest:
    """rows: by system, of hybrid.compare.COLUMNS. verdicts: a sentence by system.

    why: there are no verdicts, in a sentence; empty where there are.
    """

    run_id: str
    rows: Mapping[System, Row]
    verdicts: Mapping[System, str]
    warnings: tuple[str, ...]
    why: str = ""

    @property
    def task(self) -> str:
        """The run's task; empty when nothing has been answered."""
        return next((str(row["task"]) for row in self.rows.values()), "")


def run_digest(run_id: str, root: Path | None = None) -> RunDigest:
    """Digest a stored run, kept once it is complete. run_id: as find_run() gives it. Raises StoreError."""

    def compute() -> RunDigest:
        return run_digest_of(load_run(run_id, root))

    return cached_json("digest-2.json", run_id, RunDigest, compute, root)


def run_digest_of(stored: StoredRun) -> RunDigest:
    """Digest a run that is loaded."""
    rows = {System.parse(str(row["system"])): row for row in summaries(stored)}
    try:
        found = compare_runs([stored], BASELINE)
    except InputError as error:  # no answers yet, or none of the LLM
        return RunDigest(stored.run.run_id, rows, {}, stored.problems, str(error))
    verdicts = {one.summary.system: one.verdict for one in found.systems}
    return RunDigest(stored.run.run_id, rows, verdicts, found.warnings)


def number(row: Row, name: str) -> float | None:
    """Give a value of a row; None where it has none, or one that is no number."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True)
class Headline:
    """One run's hybrid against its LLM.

    speedup, low, high: end to end, median of paired ratios and its interval; above 1 is faster.
    kept: the hybrid's part of the LLM's quality, by `metric`; None for runs without quality.
    """

    entry: Entry
    n: int
    speedup: float
    low: float | None
    high: float | None
    metric: str
    kept: float | None
    verdict: str

    @property
    def task(self) -> str:
        """What was asked, in words."""
        return TASKS[self.entry.task].label if self.entry.task in TASKS else self.entry.task


def headlines(
    entries: Sequence[Entry], digest: Callable[[str], RunDigest], most: int = MOST
) -> list[Headline]:
    """Give the newest complete run of each suite, device and pair with both systems: by task, newest first.

    entries: newest first. digest: of a run's id; may raise StoreError, and the run is passed over.
    """
    found: list[Headline] = []
    tried: dict[tuple[str, str, str], int] = {}
    done: set[tuple[str, str, str]] = set()
    for entry in entries:
        kind = entry.suite, entry.device_name, entry.pair
        if not entry.complete or not {SYSTEM, BASELINE} <= set(entry.systems) or kind in done:
            continue
        if tried.setdefault(kind, 0) >= LATEST_OF_A_KIND:
            continue
        tried[kind] += 1
        if one := _headline(entry, digest):
            found.append(one)
            done.add(kind)
        if len(found) == most:
            break
    tasks = [*TASKS, *(one.entry.task for one in found)]
    return sorted(found, key=lambda one: tasks.index(one.entry.task))


def _headline(entry: Entry, digest: Callable[[str], RunDigest]) -> Headline | None:
    try:
        said = digest(entry.run_id)
    except StoreError:
        return None
    row, base = said.rows.get(SYSTEM), said.rows.get(BASELINE)
    if not row or not base or not isinstance(row["speedup_end_to_end"], float):
        return None
    metric = metrics_of(entry.task)[0] if entry.task in TASKS else ""
    return Headline(
        entry, int(str(row["n"])), row["speedup_end_to_end"], number(row, "speedup_end_to_end_low"),
        number(row, "speedup_end_to_end_high"), METRICS[metric].label if metric else "",
        _kept(metric, row, base), said.verdicts.get(SYSTEM, said.why),
    )  # fmt: skip


def _kept(metric: str, row: Row, base: Row) -> float | None:
    if not metric:
        return None
    ours, theirs = number(row, metric), number(base, metric)
    if ours is None or theirs is None:
        return None
    return quality_ratio(METRICS[metric].higher_is_better, ours, theirs)
