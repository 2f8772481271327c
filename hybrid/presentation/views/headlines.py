"""What the newest runs say of the hybrid, for who looks for a minute."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hybrid.compare.paired import quality_ratio
from hybrid.errors import StoreError
from hybrid.metrics import METRICS, metrics_of
from hybrid.presentation.views.catalog import Entry
from hybrid.presentation.views.digest import Digest, Row, number
from hybrid.schema import BASELINE, TASKS, System

SYSTEM = System("hybrid")
MOST = 4
LATEST_OF_A_KIND = 3  # runs of one kind that are looked at before it is passed over


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


def headlines(entries: Sequence[Entry], digest: Callable[[str], Digest], most: int = MOST) -> list[Headline]:
    """The newest complete run of each kind (suite, device, pair) with both systems: by task, newest first.

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


def _headline(entry: Entry, digest: Callable[[str], Digest]) -> Headline | None:
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
