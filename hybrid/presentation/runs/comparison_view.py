"""A comparison of stored runs as what pages and reports show: names, a table, numbers, marks of figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hybrid.compare import ComparedSystem, Comparison, Difference, Estimate, Latency
from hybrid.compare.columns import GATE, LATENCY_COLUMNS, SPEEDUP_COLUMNS, Column, N, difference, quality
from hybrid.compare.export import extra_metrics
from hybrid.compare.verdict import plain_sentence
from hybrid.format import amount, estimate, percent, printable, ratio
from hybrid.format import difference as format_difference
from hybrid.metrics import METRICS, Metric, main_metric
from hybrid.presentation.charts import Drawing, Mark
from hybrid.presentation.charts.axes import ends
from hybrid.presentation.charts.speedup_chart import Placed, quality_by_speed, speedups
from hybrid.presentation.runs.sections import cell_text, least_shown, quality_sections, section_table
from hybrid.schema import Run, Task
from hybrid.store.tables import Cell, Table

# Headings of what names a row of table(); the columns behind them are those of hybrid.compare.columns.
ROW = {
    "system": "what answered; [1], [2] ... is the run",
    "engine": "what ran the models",
    "device": "where they ran",
}
_WHICH = {
    "run": "the run",
    "system": "what answered",
    "engine": "what ran the models",
    "baseline_run": "what it is compared with; empty for a baseline itself",
    "baseline_system": "what it is compared with; empty for a baseline itself",
    "metric": "the main metric of the task",
}
_BUSY = {"busy": "whether the machine was busy meanwhile; empty where it was not probed"}


_TIMES = (
    replace(LATENCY_COLUMNS["total"], label="total, ms", meaning="end-to-end latency, median of all answers"),
    replace(LATENCY_COLUMNS["ttft"], label="TTFT, ms", meaning="time to first token, median"),
    replace(
        LATENCY_COLUMNS["tpot"], label="TPOT, ms", meaning="time per output token after the first, median"
    ),
    replace(
        SPEEDUP_COLUMNS["end_to_end"], label="speed-up",
        meaning="baseline's end-to-end time over the system's, median of paired ratios; above 1 is faster",
    ),
    replace(
        SPEEDUP_COLUMNS["per_token"], label="per token", meaning="the same of the time per output token"
    ),
)  # fmt: skip


_COMPARED = "the system's quality minus the baseline's, on the examples both have answered"


@dataclass(frozen=True)
class ComparisonRow:
    """One system of one run. name: unique in its comparison, from elsewhere in part."""

    name: str
    engine: int
    compared: ComparedSystem


def comparison_rows(comparison: Comparison, trivial: bool = False) -> tuple[ComparisonRow, ...]:
    """Give the systems in the order of the comparison; of several runs each name says which, [1], [2] ...

    trivial: those without a model in the place of the measured ones.
    """
    run_ids = list(dict.fromkeys(system.summary.run_id for system in comparison.systems))
    places = {run_id: f" [{n}]" for n, run_id in enumerate(run_ids, start=1)} if len(run_ids) > 1 else {}
    engines = list(dict.fromkeys(system.engine for system in comparison.systems))
    return tuple(
        ComparisonRow(
            printable(system.summary.system.label)
            + places.get(system.summary.run_id, "")
            + system.summary.mark,
            engines.index(system.engine) if system.engine in engines else 0,
            system,
        )
        for system in (comparison.trivial if trivial else comparison.systems)
    )


def score_tables(comparison: Comparison) -> Iterator[tuple[str, Table]]:
    """Give every score and check of each task, and the differences to the baseline, with their titles."""
    rows = (*comparison_rows(comparison), *comparison_rows(comparison, trivial=True))
    for task in comparison.tasks:
        named = [(row.name, row.compared) for row in rows if row.compared.task.name == task.name]
        for section in quality_sections(comparison, task):
            if cells := section_table(section, named):
                yield section.title, cells


def numbered(runs: Sequence[Run]) -> list[str]:
    """Give a line for each run: its place, id, and what it was made of and on."""
    return [
        f"[{n}] {run.run_id}: {printable(run.plan.suite)}, pair {printable(run.plan.pair)}, "
        f"{printable(run.plan.engine)} in {printable(run.plan.dtype)} on "
        f"{printable(run.environment.device_name)}, batch {run.plan.batch_size}"
        for n, run in enumerate(runs, start=1)
    ]


def table(systems: Sequence[ComparisonRow]) -> Table:
    """Tell what people read: values with their intervals in one cell."""
    scored = [
        name
        for name in extra_metrics(name for row in systems for name in row.compared.summary.quality or ())
        if not METRICS[name].catches  # which have tables of their own
    ]
    mains = {row.compared.task.kind: main_metric(row.compared.task) for row in systems}
    columns = {kind: _columns(main, [METRICS[name] for name in scored]) for kind, main in mains.items()}
    headings = {column.label: column.meaning for of_task in columns.values() for column in of_task}
    rows = []
    for row in systems:
        compared = row.compared
        cells = (_cell(column, compared) for column in columns[compared.task.kind])
        rows.append((row.name, compared.engine, compared.device, *cells))
    return Table(ROW | headings, rows)


def numbers(systems: Sequence[ComparisonRow]) -> Table:
    """Tell what programs read: every value in a column of its own, as hybrid.compare.columns parts it."""
    rows, names = [_numbers(row.compared) for row in systems], dict(_WHICH)
    for row in systems:
        for column in _drawn(row.compared.task):
            names |= column.names()
    return Table(names | _BUSY, [tuple(cells.get(name) for name in (*names, *_BUSY)) for cells in rows])


def placed(systems: Sequence[ComparisonRow]) -> list[Placed]:
    """Place the systems in a figure."""
    return [
        Placed(
            Mark.of(row.name, row.compared.summary.system, row.engine),
            ends(speedup) if (speedup := _speedup(row.compared)) else None,
            ends(score) if (score := _quality(row.compared)) else None,
            row.compared.verdict,
        )
        for row in systems
    ]  # fmt: skip


def metric_of(task: Task) -> str:
    """Give the main metric of a task, with what it is measured in."""
    metric = main_metric(task)
    return f"{metric.label}, {metric.unit}"


def plain_summary(row: ComparisonRow, systems: Sequence[ComparisonRow]) -> str:
    """One system for people who do not measure: how fast it is beside the baseline, and what it keeps."""
    lead = row.compared.lead
    if row.compared.summary.system.trivial:
        return _trivial_summary(row.compared)
    if lead and not lead.beaten:
        return f"{row.name} is no better than {lead.words}, without any model. {_plain_summary(row, systems)}"
    return _plain_summary(row, systems)


def _trivial_summary(compared: ComparedSystem) -> str:
    metric, system = main_metric(compared.task).label, compared.summary.system
    gate = compared.against.gate if compared.against else None
    score = "" if gate is None else f", and scores {percent(gate.quality.value)} of the baseline's {metric}"
    return f"{system.label} of each document: takes no model and no time{score} (n = {compared.summary.n})."


def _plain_summary(row: ComparisonRow, systems: Sequence[ComparisonRow]) -> str:
    against = row.compared.against
    if against is None:
        return f"{row.name} is what the others are compared with."
    summaries = {another.name: another.compared.summary for another in systems}
    names = {(summary.run_id, summary.system): name for name, summary in summaries.items()}
    baseline = names.get((against.run_id, against.system), against.system.label)
    return plain_sentence(row.name, baseline, against, row.compared.task)


def speed_drawing(systems: Sequence[ComparisonRow]) -> Drawing:
    """Draw how much faster each is than its baseline."""
    return Drawing(speedups(placed(systems)), speed_sentence(systems), numbers(systems))


def quality_drawing(systems: Sequence[ComparisonRow]) -> Drawing:
    """Draw quality by speed-up of systems of one task."""
    task = systems[0].compared.task
    figure = quality_by_speed(placed(systems), metric_of(task))
    return Drawing(figure, quality_sentence(systems, task), numbers(systems))


def speed_sentence(systems: Sequence[ComparisonRow]) -> str:
    """Tell what a figure of speed-ups shows, in a sentence."""
    known = [(row, speedup) for row in systems if (speedup := _speedup(row.compared))]
    if not known:
        return "No speed-up can be formed: there is only the baseline, or nothing was timed alike."
    best, most = max(known, key=lambda pair: pair[1].value)
    faster = sum(speedup.value > 1 and speedup.excludes(1.0) for _, speedup in known)
    slower = sum(speedup.value < 1 and speedup.excludes(1.0) for _, speedup in known)
    return (
        f"Of {len(known)} systems, {faster} are faster than their baseline and {slower} slower, intervals "
        f"considered; the fastest is {best.name} with {ratio(most)} at n = {most.n}. "
        "Bars are 95 % intervals of the median of paired ratios; the dashed line is the baseline."
    )


def quality_sentence(systems: Sequence[ComparisonRow], task: Task) -> str:
    """Tell what a figure of quality by speed shows, in a sentence."""
    known = [(row, score) for row in systems if (score := _quality(row.compared))]
    if not known:
        return "There is no quality to show: lengths were fixed, or nothing was scored."
    best, most = max(known, key=lambda pair: pair[1].value)
    label = main_metric(task).label
    return (
        f"Up is better, right is faster. The best score is that of {best.name}, "
        f"{estimate(most, 1, label)} at n = {most.n}; bars are 95 % intervals, and the baseline stands at 1×."
    )


def _columns(main: Metric, others: Sequence[Metric]) -> tuple[Column, ...]:
    """Choose what a row says of a system. others: metrics beside the default ones that occur."""
    return (
        replace(
            quality(main), label="quality", unit=main.label,
            meaning="of the first answer to each example, with its 95 % interval",
        ),
        replace(
            difference(main), label="against the baseline",
            meaning=_COMPARED,
        ),
        replace(GATE[0], meaning="meets, misses or undecided: 99 % of the quality, 90 % of the length"),
        *map(quality, others),
        *_TIMES,
        N,
    )  # fmt: skip


def _cell(column: Column, compared: ComparedSystem) -> Cell:
    """Write a value as a row has room for it: of latencies the median, of differences no p-value."""
    if column.kind in ("difference", "ratio") and compared.against is None:
        return "baseline"
    value = column.value(compared)
    if isinstance(value, Latency):
        return amount(value.p50_ms)
    if isinstance(value, Difference):
        return format_difference(value) + (
            ", too few to tell" if value.low is None else least_shown(value, ", ")
        )
    return value if isinstance(value, int) else cell_text(column, compared)


def _drawn(task: Task) -> tuple[Column, ...]:
    """Choose what figures draw of a system; quality is in the task's own metric, whatever that is."""
    main = main_metric(task)
    return (
        replace(quality(main), name="quality", meaning="in the metric's own unit"),
        replace(difference(main), name="difference", meaning=_COMPARED),
        *LATENCY_COLUMNS.values(), SPEEDUP_COLUMNS["end_to_end"], N,
    )  # fmt: skip


def _numbers(system: ComparedSystem) -> dict[str, Cell]:
    summary, against = system.summary, system.against
    cells: dict[str, Cell] = {
        "run": summary.run_id, "system": summary.system, "engine": system.engine,
        "baseline_run": against.run_id if against else None,
        "baseline_system": against.system if against else None,
        "metric": main_metric(system.task).label,
        "busy": None if summary.busy is None else bool(summary.busy),
    }  # fmt: skip
    for column in _drawn(system.task):
        cells |= column.cells(system)
    return cells


def _quality(system: ComparedSystem) -> Estimate | None:
    return (system.summary.quality or {}).get(main_metric(system.task).name)


def _speedup(system: ComparedSystem) -> Estimate | None:
    return system.against.speedups["end_to_end"] if system.against else None
