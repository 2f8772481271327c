"""Which runs there are, as a page filters them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hybrid.measuring.probes import busy_reasons
from hybrid.schema import Hardware, System, Task
from hybrid.store import RunSummary, list_runs

BUSY, NOT_BUSY = "busy", "not busy"  # a run of before machines were probed does not show that it was


@dataclass(frozen=True)
class Entry:
    """One stored run. examples: that it was asked to answer, each `repeats` times by each system.

    engines: of its systems, the plan's own first. records, planned: answers, so far and in all.
    busy: why the machine counts as busy meanwhile, None where it was not probed.
    whole: whether it was asked all of its suite. private: whether it was stored without texts.
    """

    run_id: str
    created_at: str
    suite: str
    task: Task
    pair: str
    systems: tuple[System, ...]
    engines: tuple[str, ...]
    device: str
    device_name: str
    dtype: str
    threads: int
    batch_size: int
    repeats: int
    examples: int
    records: int
    planned: int
    complete: bool
    fixed_length: bool
    busy: tuple[str, ...] | None = None
    hardware: Hardware = field(default=Hardware(), hash=False)
    whole: bool = True
    private: bool = False

    @property
    def machine(self) -> str:
        """In a word whether it was busy; nothing where it was not probed."""
        return "" if self.busy is None else BUSY if self.busy else "quiet"


@dataclass(frozen=True)
class Catalog:
    """Runs, the newest first. problems: a sentence for each that is damaged.

    damaged: names of those that cannot be read at all, as delete_stored() takes them.
    """

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]
    damaged: tuple[str, ...] = ()


def catalog(root: Path | None = None) -> Catalog:
    """All runs of a results folder. Raises StoreError when it cannot be read."""
    listing = list_runs(root)
    return Catalog(tuple(map(_entry, listing.runs)), listing.problems, listing.damaged)


def passes(entry: Entry, filters: Mapping[str, str | int | None]) -> bool:
    """Tell whether a run is to be shown. filters: values by name, see values_of(); None lets all pass."""
    return all(value is None or value in values_of(entry, name) for name, value in filters.items())


def values_of(entry: Entry, name: str) -> tuple[str | int, ...]:
    """Tell what an entry has for a filter's name; a run of several engines has several."""
    values: dict[str, tuple[str | int, ...]] = {
        "suite": (entry.suite,),
        "pair": (entry.pair,),
        "engine": entry.engines,
        "device": (entry.device_name,),
        "batch": (entry.batch_size,),
        "machine": (BUSY if entry.busy else NOT_BUSY,),
    }
    return values[name]


def choices(entries: Iterable[Entry], name: str) -> list[str | int]:
    """Every value of a filter that occurs, in the order of the entries."""
    return list(dict.fromkeys(value for entry in entries for value in values_of(entry, name)))


def fullest(entries: Sequence[Entry]) -> Entry | None:
    """Give the complete run of most examples, of several rather a quiet one, and the newest of those.

    entries: newest first.
    """
    complete = (entry for entry in entries if entry.complete)
    return max(complete, key=lambda entry: (entry.examples, not entry.busy), default=None)


def _entry(summary: RunSummary) -> Entry:
    run, plan = summary.run, summary.run.plan
    engines = (plan.engine, *(run.ran_as(system).engine for system in plan.systems))
    return Entry(
        run.run_id, run.created_at, plan.suite, run.task, plan.pair, tuple(plan.systems),
        tuple(dict.fromkeys(engines)), plan.device, run.environment.device_name, plan.dtype, plan.threads,
        plan.batch_size, plan.repeats, run.planned // (plan.repeats * len(plan.systems)), summary.records,
        run.planned, summary.complete, plan.sampling.ignore_eos, busy_reasons(run),
        run.environment.hardware, plan.limit is None, plan.private,
    )  # fmt: skip
