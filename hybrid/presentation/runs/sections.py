"""Sections of a comparison as tables for people: the terminal, pages and the report draw the same one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hybrid import format as text
from hybrid.compare import ComparedSystem, Comparison, Difference, Estimate, Latency, PairedComparison
from hybrid.compare.columns import (
    ACCEPTANCE,
    AGREEMENT,
    BOUND,
    BOUND_SHARE,
    COST,
    DEVICE_MEMORY,
    FLOPS_PER_S,
    LATENCY_COLUMNS,
    LENGTH_RATIO,
    MEMORY,
    SPEEDUP_COLUMNS,
    SPREADS,
    THROUGHPUT,
    TOKENS,
    Column,
    Kind,
    N,
    column_of,
    difference,
    quality,
)
from hybrid.compare.paired import PLURALS
from hybrid.compare.power import detectable
from hybrid.compare.summary import PERCENTILES
from hybrid.metrics import Metric
from hybrid.schema import Task
from hybrid.store.tables import Table

# What stands only in tables for people.
PAIRED_N = column_of("against", "n", "count", "n", "examples that both have answered")
PAIRS = Column(
    name="pairs", label="pairs", kind="count", meaning="behind the speed-ups",
    value=lambda system: _most_pairs(system.against) if system.against else None,
)  # fmt: skip
PAIRED_BY = Column(
    name="of", label="of", kind="text", meaning="what the pairs are",
    value=lambda system: PLURALS[system.against.paired_by] if system.against else None,
)  # fmt: skip
LATENCY_N = Column(
    name="n", label="n", kind="count", meaning="examples, or batches, behind the percentiles",
    value=lambda system: total.n if (total := system.summary.latencies["total"]) else None,
)  # fmt: skip
GPU_MEMORY = Column(
    name="peak_device_bytes", label="of the GPU", kind="bytes", digits=0, meaning=DEVICE_MEMORY.meaning,
    optional=True,
    value=lambda system: (system.summary.memory and system.summary.memory.device) or None,
)  # fmt: skip
DECODE_BYTES = column_of(
    "roofline", "decode_bytes", "bytes", "weights read per token",
    "weight bytes read for each token, once for a batch", optional=True,
)  # fmt: skip
ENCODE_FLOPS = column_of(
    "roofline", "encode_flops", "flop", "reading a prompt", "operations on the median prompt", optional=True
)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table of some columns under a title. paired: it has nothing to say of a baseline."""

    title: str
    columns: tuple[Column, ...]
    paired: bool = False


def quality_sections(comparison: Comparison, task: Task) -> tuple[Section, ...]:
    """Make the tables of a task's scores and checks, and of their differences to the baseline."""
    metrics, tested = comparison.metrics_of(task), f"{_p(comparison, task)}, MDD"
    scores = [metric for metric in metrics if not metric.catches]
    checks = [metric for metric in metrics if metric.catches]
    of_quality = (
        Section(title=f"Quality, {task.name}", columns=(N, *map(quality, scores))),
        Section(
            title=f"Difference to the baseline, {tested}; ratio of lengths",
            columns=(PAIRED_N, *_differences(scores), LENGTH_RATIO, AGREEMENT),
            paired=True,
        ),
    )
    if not checks:
        return of_quality
    return (
        *of_quality,
        Section(
            title=f"Checks without a model, {task.name}; of faults fewer are better",
            columns=(N, *map(quality, checks)),
        ),
        Section(
            title=f"Checks: difference to the baseline, {tested}",
            columns=(PAIRED_N, *_differences(checks)),
            paired=True,
        ),
    )


def _p(comparison: Comparison, task: Task) -> str:
    """Say of how many systems the p-values of a task are corrected."""
    against = [system.against for system in comparison.systems if system.task.name == task.name]
    differences = [d for pair in against if pair for d in (pair.differences or {}).values()]
    together = max((difference.together for difference in differences), default=1)
    return "p" if together == 1 else f"p (Holm, {together} systems)"


def check_sentences(metrics: Sequence[Metric]) -> list[str]:
    """Say of each check what it catches, and in what it is counted."""
    return [f"{metric.label}, {metric.scale}: {metric.catches}" for metric in metrics if metric.catches]


def _differences(metrics: Sequence[Metric]) -> list[Column]:
    return [difference(metric) for metric in metrics if metric.higher_is_better is not None]


SPEED_SECTIONS = (
    Section(
        title="Speed-up over the baseline",
        columns=(*SPEEDUP_COLUMNS.values(), PAIRS, PAIRED_BY, *SPREADS["end_to_end"]),
        paired=True,
    ),
    Section(
        title="Latency in ms: p50 / p90 / p99 of all answers",
        columns=(LATENCY_N, *LATENCY_COLUMNS.values()),
    ),
    Section(
        title="Throughput, memory, cost",
        columns=(*THROUGHPUT, TOKENS, MEMORY, ACCEPTANCE, GPU_MEMORY, COST),
    ),
    Section(
        title="Beside what the device allows",
        columns=(DECODE_BYTES, BOUND, BOUND_SHARE, ENCODE_FLOPS, FLOPS_PER_S),
    ),
)


def _most_pairs(against: PairedComparison) -> int:
    return max((speedup.n for speedup in against.speedups.values() if speedup), default=0)


Named = Sequence[tuple[str, ComparedSystem]]  # what each system is called, and what is known of it

_NUMBERS: Mapping[Kind, Callable[[float, int], str]] = {
    "count": lambda value, digits: f"{value:,}",
    "decimal": lambda value, digits: f"{value:,.{digits}f}",
    "amount": lambda value, digits: text.amount(value),
    "ms": lambda value, digits: text.amount(value),
    "share": lambda value, digits: text.percent(value),
    "half": lambda value, digits: f"± {text.percent(value, digits)}",
    "bytes": lambda value, digits: text.size(value),
    "flop": lambda value, digits: f"{value / 1e9:,.2f} GFLOP",
    "flop/s": lambda value, digits: f"{value / 1e9:,.0f} GFLOP/s",
}


def section_table(section: Section, systems: Named) -> Table | None:
    """Make the table of a section; None where it has nothing to say of any of these systems."""
    columns = [
        column
        for column in section.columns
        if not column.optional or any(column.value(system) is not None for _, system in systems)
    ]
    if not columns:
        return None
    compared = next(column for column in columns if column.kind != "count")
    rows = []
    for name, system in systems:
        cells = [cell_text(column, system) for column in columns]
        if section.paired and system.against is None:
            cells = ["baseline" if column is compared else "" for column in columns]
        rows.append((name, *cells))
    return Table({"": "what answered"} | {column.label: column.meaning for column in columns}, rows)


def cell_text(column: Column, system: ComparedSystem) -> str:
    """Write a column's value for people, with its interval, p-value or percentiles."""
    value = column.value(system)
    if value is None:
        return "" if column.optional else text.NOTHING
    if isinstance(value, Latency):
        return _percentiles(value)
    if isinstance(value, Difference):
        weight = "too few to tell" if value.p_value is None else text.p_value(value.p_value)
        return f"{text.difference(value)}  {weight}{least_shown(value, '  ')}"
    if isinstance(value, Estimate):
        is_ratio = column.kind == "ratio"
        return text.ratio(value) if is_ratio else text.estimate(value, column.digits, column.unit)
    return value if isinstance(value, str) else _NUMBERS[column.kind](value, column.digits)


def least_shown(difference: Difference, before: str) -> str:
    """Write the minimum detectable difference, `before` it, of one that is not significant."""
    least = None if difference.decided else detectable(difference)
    return "" if least is None else f"{before}MDD {text.distance(least)}"


def _percentiles(latency: Latency) -> str:
    """All three; in parentheses one that n cannot carry."""
    values = [(p, text.amount(getattr(latency, f"p{p}_ms"))) for p in PERCENTILES]
    return " / ".join(value if p in latency.carried else f"({value})" for p, value in values)
