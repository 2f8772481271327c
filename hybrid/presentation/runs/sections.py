"""Sections of a comparison as tables for people: the terminal, pages and the report draw the same one."""

from collections.abc import Callable, Mapping, Sequence

from hybrid import format as text
from hybrid.compare import ComparedSystem, Difference, Estimate, Latency
from hybrid.compare.columns import Column, Kind, Section
from hybrid.compare.summary import PERCENTILES
from hybrid.store.tables import Table

Named = Sequence[tuple[str, ComparedSystem]]  # what each system is called, and what is known of it

_NUMBERS: Mapping[Kind, Callable[[float, int], str]] = {
    "count": lambda value, digits: f"{value:,}",
    "decimal": lambda value, digits: f"{value:,.{digits}f}",
    "amount": lambda value, digits: text.amount(value),
    "ms": lambda value, digits: text.amount(value),
    "share": lambda value, digits: text.percent(value),
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
        return text.difference(value) + ("" if value.p_value is None else f"  {text.p_value(value.p_value)}")
    if isinstance(value, Estimate):
        return text.ratio(value) if column.kind == "ratio" else text.estimate(value, column.digits)
    return value if isinstance(value, str) else _NUMBERS[column.kind](value, column.digits)


def _percentiles(latency: Latency) -> str:
    """All three; in parentheses one that n cannot carry."""
    values = [(p, text.amount(getattr(latency, f"p{p}_ms"))) for p in PERCENTILES]
    return " / ".join(value if p in latency.carried else f"({value})" for p, value in values)
