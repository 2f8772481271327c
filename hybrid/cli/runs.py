"""`hybrid runs`: which runs are stored."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click

from hybrid.cli.console import harmless, notice, out
from hybrid.store import RunSummary, list_runs, results_folder

HEADER = ("run", "suite", "pair", "engine", "systems", "n", "state", "created (UTC)")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the runs as one JSON list.")
def runs(as_json: bool) -> None:
    """List the stored runs, the newest first.

    n is examples x repeats. The runs lie in results/, or where HYBRID_RESULTS says.
    """
    listing = list_runs()
    for problem in listing.problems:
        notice(problem)
    if as_json:
        rows = [{**asdict(one.run), "records": one.records, "complete": one.complete} for one in listing.runs]
        out(json.dumps(rows, ensure_ascii=False, indent=1))
    elif listing.runs:
        for line in _aligned([HEADER, *map(_row, listing.runs)]):
            out(line)
    else:
        notice(f"There are no runs in {results_folder()}. `hybrid bench SUITE` makes one.")


def _row(one: RunSummary) -> tuple[str, ...]:
    run, plan = one.run, one.run.plan
    examples = run.planned // (plan.repeats * len(plan.systems))
    return (
        run.run_id,
        plan.suite,
        plan.pair,
        f"{plan.engine}/{plan.device}",
        ",".join(plan.systems),
        f"{examples} x {plan.repeats}",
        "complete" if one.complete else f"incomplete {one.records}/{run.planned}",
        _minute(run.created_at),
    )


def _minute(created_at: str) -> str:
    try:
        moment = datetime.fromisoformat(created_at)
        return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):  # no time, or one whose UTC lies outside the calendar
        return created_at


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows as columns two spaces apart. A run from elsewhere cannot move the terminal's cursor."""
    shown = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
