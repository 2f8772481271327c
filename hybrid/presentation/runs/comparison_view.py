"""A comparison of stored runs as what pages and reports show: names, a table, numbers, marks of figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid.compare import ComparedSystem, Comparison, Estimate
from hybrid.compare.verdict import plain_sentence
from hybrid.format import NOTHING, amount, estimate, printable, ratio
from hybrid.format import difference as format_difference
from hybrid.metrics import METRICS, main_metric
from hybrid.presentation.charts import Drawing
from hybrid.presentation.charts.axes import ends
from hybrid.presentation.charts.speedup_chart import Placed, quality_by_speed, speedups
from hybrid.presentation.charts.styles import Mark
from hybrid.schema import Run
from hybrid.store.tables import Cell, Table

TABLE = {
    "system": "what answered; [1], [2] ... is the run",
    "engine": "what ran the models",
    "device": "where they ran",
    "quality": "of the first answer to each example, with its 95 % interval",
    "against the baseline": "the system's quality minus the baseline's, on the examples both have answered",
    "total, ms": "end-to-end latency, median of all answers",
    "TTFT, ms": "time to first token, median",
    "TPOT, ms": "time per output token after the first, median",
    "speed-up": "baseline's end-to-end time over the system's, median of paired ratios; above 1 is faster",
    "per token": "the same of the time per output token",
    "n": "examples answered",
}
NUMBERS = {
    "run": "the run",
    "system": "what answered",
    "engine": "what ran the models",
    "baseline_run": "what it is compared with; empty for a baseline itself",
    "baseline_system": "what it is compared with; empty for a baseline itself",
    "metric": "the main metric of the task",
    "quality": "in the metric's own unit",
    "quality_low": "lower end of its 95 % interval",
    "quality_high": "upper end",
    "difference": "the system's quality minus the baseline's, over the examples both answered",
    "difference_low": "lower end of its 95 % interval",
    "difference_high": "upper end",
    "total_ms": "end-to-end latency, median",
    "ttft_ms": "time to first token, median",
    "tpot_ms": "time per output token after the first, median",
    "speedup": "baseline's end-to-end time over the system's, median of paired ratios",
    "speedup_low": "lower end of its 95 % interval",
    "speedup_high": "upper end",
    "n": "examples answered",
    "pairs": "examples, or batches, behind the speed-up",
}


@dataclass(frozen=True)
class ComparisonRow:
    """One system of one run. name: unique in its comparison, from elsewhere in part."""

    name: str
    engine: int
    found: ComparedSystem


def comparison_rows(found: Comparison) -> tuple[ComparisonRow, ...]:
    """Give the systems in the order of the comparison; of several runs each name says which, [1], [2] ..."""
    places = {run_id: f" [{n}]" for n, run_id in enumerate(dict.fromkeys(_runs(found)), start=1)}
    engines = {name: n for n, name in enumerate(dict.fromkeys(one.engine for one in found.systems))}
    return tuple(
        ComparisonRow(
            printable(one.summary.system.label) + (places[one.summary.run_id] if len(places) > 1 else ""),
            engines[one.engine],
            one,
        )
        for one in found.systems
    )


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
    return Table(TABLE, [tuple(_texts(one).get(name, NOTHING) for name in TABLE) for one in systems])


def numbers(systems: Sequence[ComparisonRow]) -> Table:
    """Tell what programs read: every value in a column of its own."""
    return Table(NUMBERS, [tuple(_numbers(one.found).get(name) for name in NUMBERS) for one in systems])


def placed(systems: Sequence[ComparisonRow]) -> list[Placed]:
    """Place the systems in a figure."""
    return [
        Placed(
            Mark.of(one.name, one.found.summary.system, one.engine),
            ends(speedup) if (speedup := _speedup(one.found)) else None,
            ends(quality) if (quality := _quality(one.found)) else None,
            one.found.verdict,
        )
        for one in systems
    ]  # fmt: skip


def metric_of(task: str) -> str:
    """Give the main metric of a task, with what it is measured in."""
    metric = main_metric(task)
    return f"{metric.label}, {metric.unit}"


def plain_summary(one: ComparisonRow, systems: Sequence[ComparisonRow]) -> str:
    """One system for people who do not measure: how fast it is beside the baseline, and what it keeps."""
    against = one.found.against
    if against is None:
        return f"{one.name} is what the others are compared with."
    names = {(other.found.summary.run_id, other.found.summary.system): other.name for other in systems}
    return plain_sentence(one.name, names[against.run_id, against.system], against, one.found.task)


def speed_drawing(systems: Sequence[ComparisonRow]) -> Drawing:
    """Draw how much faster each is than its baseline."""
    return Drawing(speedups(placed(systems)), speed_sentence(systems), numbers(systems))


def quality_drawing(systems: Sequence[ComparisonRow]) -> Drawing:
    """Draw quality by speed-up of systems of one task."""
    task = systems[0].found.task
    figure = quality_by_speed(placed(systems), metric_of(task))
    return Drawing(figure, quality_sentence(systems, task), numbers(systems))


def speed_sentence(systems: Sequence[ComparisonRow]) -> str:
    """Tell what a figure of speed-ups shows, in a sentence."""
    known = [(one, found) for one in systems if (found := _speedup(one.found))]
    if not known:
        return "No speed-up can be formed: there is only the baseline, or nothing was timed alike."
    best, most = max(known, key=lambda pair: pair[1].value)
    faster = sum(found.value > 1 and found.excludes(1.0) for _, found in known)
    slower = sum(found.value < 1 and found.excludes(1.0) for _, found in known)
    return (
        f"Of {len(known)} systems, {faster} are faster than their baseline and {slower} slower, intervals "
        f"considered; the fastest is {best.name} with {ratio(most)} at n = {most.n}. "
        "Bars are 95 % intervals of the median of paired ratios; the dashed line is the baseline."
    )


def quality_sentence(systems: Sequence[ComparisonRow], task: str) -> str:
    """Tell what a figure of quality by speed shows, in a sentence."""
    known = [(one, found) for one in systems if (found := _quality(one.found))]
    if not known:
        return "There is no quality to show: lengths were fixed, or nothing was scored."
    best, most = max(known, key=lambda pair: pair[1].value)
    label = main_metric(task).label
    return (
        f"Up is better, right is faster. The best score is that of {best.name}, "
        f"{estimate(most, 1, label)} at n = {most.n}; bars are 95 % intervals, and the baseline stands at 1×."
    )


def _texts(one: ComparisonRow) -> Mapping[str, Cell]:
    compared, summary = one.found, one.found.summary
    label = main_metric(compared.task).label
    cells: dict[str, Cell] = {
        "system": one.name, "engine": compared.engine, "device": compared.device, "n": summary.n
    }  # fmt: skip
    if quality := _quality(compared):
        cells["quality"] = estimate(quality, 1, label)
    for name, latency in (("total", "total, ms"), ("ttft", "TTFT, ms"), ("tpot", "TPOT, ms")):
        if found := summary.latencies[name]:
            cells[latency] = amount(found.p50_ms)
    if compared.against is None:
        return cells | {"against the baseline": "baseline", "speed-up": "baseline", "per token": "baseline"}
    difference = (compared.against.differences or {}).get(main_metric(compared.task).name)
    if difference:
        cells["against the baseline"] = format_difference(difference)
    for name, column in (("end_to_end", "speed-up"), ("per_token", "per token")):
        if speedup := compared.against.speedups[name]:
            cells[column] = ratio(speedup)
    return cells


def _numbers(one: ComparedSystem) -> Mapping[str, Cell]:
    summary, main = one.summary, main_metric(one.task).name
    cells: dict[str, Cell] = {
        "run": summary.run_id, "system": summary.system, "engine": one.engine,
        "metric": METRICS[main].label, "n": summary.n,
    }  # fmt: skip
    for name, latency in summary.latencies.items():
        cells[f"{name}_ms"] = latency.p50_ms if latency else None
    cells |= _ends("quality", _quality(one))
    if one.against:
        cells |= {"baseline_run": one.against.run_id, "baseline_system": one.against.system}
        speedup = one.against.speedups["end_to_end"]
        cells |= _ends("difference", (one.against.differences or {}).get(main)) | _ends("speedup", speedup)
        cells["pairs"] = speedup.n if speedup else 0
    return cells


def _ends(name: str, found: Estimate | None) -> dict[str, Cell]:
    if found is None:
        return {}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _quality(one: ComparedSystem) -> Estimate | None:
    return (one.summary.quality or {}).get(main_metric(one.task).name)


def _speedup(one: ComparedSystem) -> Estimate | None:
    return one.against.speedups["end_to_end"] if one.against else None


def _runs(found: Comparison) -> list[str]:
    return [one.summary.run_id for one in found.systems]
