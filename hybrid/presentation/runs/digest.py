"""One run beside its own LLM: its rows, verdicts and warnings; and what the newest runs say of the hybrid."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hybrid.compare import compare_runs, summaries
from hybrid.compare.paired import FEWEST_TO_MEET, quality_ratio
from hybrid.errors import InputError, StoreError
from hybrid.measuring.hardware import unlike
from hybrid.metrics import Metric, main_metric
from hybrid.presentation.runs.catalog import Entry
from hybrid.presentation.runs.disk_cache import cached_json
from hybrid.schema import BASELINE, TASKS, System, Task, task_named
from hybrid.store import StoredRun, load_run
from hybrid.store.tables import Cell

Row = Mapping[str, Cell]
SYSTEM = System("hybrid")
MOST = 4
ENOUGH = 100  # examples; a run of fewer is no headline where its task has one of as many
LATEST_OF_A_KIND = 3  # runs of one kind that are looked at before it is passed over

# A RunDigest as JSON.


@dataclass(frozen=True)
class RunDigest:
    """rows: by system, of hybrid.compare.COLUMNS. verdicts: a sentence by system.

    remarks: what no interval holds, a sentence each.
    why: there are no verdicts, in a sentence; empty where there are.
    two_tokenizers: whether its systems write tokens of different sizes. own_task: as Run has it.
    unbeaten: by system, what without a model it does not beat, in words.
    """

    run_id: str
    rows: Mapping[System, Row]
    verdicts: Mapping[System, str]
    warnings: tuple[str, ...]
    why: str = ""
    remarks: tuple[str, ...] = ()
    two_tokenizers: bool = False
    own_task: Task | None = None
    unbeaten: Mapping[System, str] = field(default_factory=dict)

    @property
    def pace(self) -> str:
        """What each system writes a second, also in characters; empty where tokens are of one kind."""
        rates = [
            f"{system} {tokens:,.0f} tokens or {characters:,.0f} characters"
            for system, row in self.rows.items()
            if (tokens := number(row, "tokens_per_s")) and (characters := number(row, "characters_per_s"))
        ]
        return f"Written a second: {', '.join(rates)}." if self.two_tokenizers and rates else ""

    @property
    def task(self) -> Task:
        """The run's task; one without a name when nothing has been answered."""
        return self.own_task or task_named(next((str(row["task"]) for row in self.rows.values()), ""))


def run_digest(run_id: str, root: Path | None = None) -> RunDigest:
    """Digest a stored run, kept once it is complete. run_id: as find_run() gives it. Raises StoreError."""

    def compute() -> RunDigest:
        return run_digest_of(load_run(run_id, root))

    return cached_json("digest-7.json", run_id, RunDigest, compute, root)


def run_digest_of(stored: StoredRun) -> RunDigest:
    """Digest a run that is loaded."""
    run = stored.run
    rows = {System.parse(str(row["system"])): row for row in summaries(stored)}
    try:
        comparison = compare_runs([stored], BASELINE)
    except InputError as error:  # no answers yet, or none of the LLM
        return RunDigest(
            run.run_id, rows, {}, stored.problems, str(error), two_tokenizers=run.two_tokenizers,
            own_task=run.own_task,
        )  # fmt: skip
    verdicts = {system.summary.system: system.verdict for system in comparison.systems}
    return RunDigest(
        run.run_id, rows, verdicts, comparison.warnings, remarks=comparison.remarks,
        two_tokenizers=run.two_tokenizers, own_task=run.own_task,
        unbeaten={
            system.summary.system: system.lead.words
            for system in comparison.systems
            if system.lead and not system.lead.beaten
        },
    )  # fmt: skip


def number(row: Row, name: str) -> float | None:
    """Give a value of a row; None where it has none, or one that is no number."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True)
class Headline:
    """One run's hybrid against its LLM.

    speedup, low, high: end to end, median of paired ratios and its interval; above 1 is faster.
    quality_kept: the hybrid's part of the LLM's quality, by `metric`; None for runs without quality.
    llm_ms: median of the LLM's end-to-end latency. warnings: of the run, a sentence each.
    unbeaten: what without a model the hybrid does not beat, in words; empty where it beats all.
    """

    entry: Entry
    n: int
    speedup: float
    low: float | None
    high: float | None
    metric: str
    quality_kept: float | None
    llm_ms: float
    verdict: str
    warnings: tuple[str, ...] = ()
    unbeaten: str = ""

    @property
    def task(self) -> str:
        """What was asked, in words."""
        return self.entry.task.label

    @property
    def quick(self) -> bool:
        """Whether it is of few examples, and no whole suite of those that can meet a gate."""
        return self.n < ENOUGH and not (self.entry.whole and self.n >= FEWEST_TO_MEET)


def headlines(
    entries: Sequence[Entry], digest: Callable[[str], RunDigest], most: int = MOST
) -> list[Headline]:
    """Give a run of each suite, device and pair that was answered by both systems: by task, newest first.

    Runs of fewer than ENOUGH examples count where their task has no other. Of each engine it is one
    complete run: rather of a quiet machine, of most examples, and the newest of those. Of the engines it is
    the one in which the LLM alone answers soonest: a speed-up over a slow baseline says little.
    entries: newest first. digest: of a run's id; may raise StoreError, and the run is passed over.
    """
    complete = [entry for entry in entries if able(entry)]
    measured = {entry.task.name for entry in complete if entry.examples >= ENOUGH}
    kinds: list[tuple[Entry, dict[str, list[Entry]]]] = []
    for entry in complete:
        if entry.examples >= ENOUGH or entry.task.name not in measured:
            engines = next((engines for first, engines in kinds if _alike(first, entry)), None)
            if engines is None:
                kinds.append((entry, engines := {}))
            engines.setdefault(entry.engines[0], []).append(entry)
    chosen: list[Headline] = []
    for _, engines in kinds:
        by_engine = [headline for runs in engines.values() if (headline := _best(runs, digest))]
        if by_engine:
            chosen.append(min(by_engine, key=lambda headline: headline.llm_ms))
        if len(chosen) == most:
            break
    tasks = [*TASKS, *(headline.entry.task.name for headline in chosen)]
    return sorted(chosen, key=lambda headline: tasks.index(headline.entry.task.name))


def able(entry: Entry) -> bool:
    """Tell whether a run sets the hybrid against the LLM, of all that it was asked."""
    return entry.complete and {SYSTEM, BASELINE} <= set(entry.systems)


def machines(entries: Sequence[Entry]) -> dict[str, str]:
    """Name the machine of each run, by id: in what it differs, too, where another one has the same name."""
    names = {}
    for entry in entries:
        others = (other.hardware for other in entries if other.device_name == entry.device_name)
        apart = next((words for other in others if (words := unlike(entry.hardware, other))), None)
        names[entry.run_id] = f"{entry.device_name}, {apart[0]}" if apart else entry.device_name
    return names


def _alike(entry: Entry, other: Entry) -> bool:
    """Tell whether both were asked the same of the same pair and machine, as far as that is known."""
    same = [(each.suite, each.device_name, each.pair) for each in (entry, other)]
    return same[0] == same[1] and unlike(entry.hardware, other.hardware) is None


def _best(runs: Sequence[Entry], digest: Callable[[str], RunDigest]) -> Headline | None:
    """Give the first that has something to say. runs: the newest first."""
    ranked = sorted(runs, key=lambda entry: (bool(entry.busy), -entry.examples))
    headlines_of_runs = (headline_of(entry, digest) for entry in ranked[:LATEST_OF_A_KIND])
    return next((headline for headline in headlines_of_runs if headline), None)


def headline_of(entry: Entry, digest: Callable[[str], RunDigest]) -> Headline | None:
    """Give what a run says of the hybrid; None where it lacks it or the LLM, or cannot be read."""
    try:
        run = digest(entry.run_id)
    except StoreError:
        return None
    row, base = run.rows.get(SYSTEM), run.rows.get(BASELINE)
    if not row or not base:
        return None
    speedup, llm_ms = number(row, "speedup_end_to_end"), number(base, "total_ms_p50")
    if speedup is None or llm_ms is None:
        return None
    metric = main_metric(entry.task)
    return Headline(
        entry, int(str(row["n"])), speedup, number(row, "speedup_end_to_end_low"),
        number(row, "speedup_end_to_end_high"), metric.label,
        kept(metric, row, base), llm_ms, run.verdicts.get(SYSTEM, run.why), run.warnings,
        run.unbeaten.get(SYSTEM, ""),
    )  # fmt: skip


def kept(metric: Metric, row: Row, base: Row) -> float | None:
    """Give a system's part of the baseline's quality; None where one of them has none."""
    value, base_value = number(row, metric.name), number(base, metric.name)
    if value is None or base_value is None:
        return None
    return quality_ratio(metric.higher_is_better, value, base_value)
