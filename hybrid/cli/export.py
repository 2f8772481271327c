"""`hybrid export`: stored runs as CSV, a row for each system or each record."""

import errno
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click

from hybrid.cli.console import notice, status
from hybrid.errors import HybridError, StoreError
from hybrid.schema import Run
from hybrid.store import RunReader, find_run, list_runs, load_run, results_folder
from hybrid.tables import Cell, replacing, write_csv

RowsOf = Callable[[str], Iterator[Sequence[Cell]]]


@click.command()
@click.argument("names", nargs=-1, metavar="[RUN]...")
@click.option("-o", "--output", required=True, metavar="FILE", help="CSV to write; - is standard output.")
@click.option("--records", is_flag=True, help="A row for each answer instead of each system.")
@click.option("--bom", is_flag=True, help="Begin with a byte order mark, for older spreadsheets.")
def export(names: tuple[str, ...], output: str, records: bool, bom: bool) -> None:
    """Write stored runs as CSV: a row for each system of each RUN.

    RUN: an id, the beginning of one, or `latest`; all complete runs when none
    is given. results/README.md says what the columns are.
    """
    chosen = list(dict.fromkeys(find_run(name) for name in names)) or _complete_runs()
    columns, rows_of = _records() if records else _summaries()
    rows = _each(chosen, rows_of, lenient=not names)
    if output == "-":
        _to_stdout(columns, rows, bom)
        return
    with replacing(Path(output)) as file:
        count = write_csv(file, columns, rows, bom)
    click.echo(f"{count} rows written to {output}.", err=True)


def _complete_runs() -> list[str]:
    """Ids of all complete runs, the newest first; what is damaged becomes notices."""
    listing = list_runs()
    for problem in listing.problems:
        notice(problem)
    complete = [one.run.run_id for one in listing.runs if one.complete]
    if not complete:
        raise StoreError(f"There are no complete runs in {results_folder()}. `hybrid bench SUITE` makes one.")
    return complete


def _summaries() -> tuple[Sequence[str], RowsOf]:
    """The columns, and the rows of a run: one a system."""
    from hybrid.compare import COLUMNS, summaries

    def rows_of(run_id: str) -> Iterator[Sequence[Cell]]:
        stored = load_run(run_id)
        for problem in stored.problems:
            notice(problem)
        _notice_incomplete(stored.run, len(stored.records))
        for row in summaries(stored):
            yield [row[name] for name in COLUMNS]

    return tuple(COLUMNS), rows_of


def _records() -> tuple[Sequence[str], RowsOf]:
    """The columns, and the rows of a run: read while they are written, so that it need not fit in memory."""
    from hybrid.export import RECORD_COLUMNS, record_rows

    def rows_of(run_id: str) -> Iterator[Sequence[Cell]]:
        reader = RunReader(run_id)
        count = 0
        for row in record_rows(reader):
            count += 1
            yield row
        for problem in reader.problems:
            notice(problem)
        _notice_incomplete(reader.run, count)

    return tuple(RECORD_COLUMNS), rows_of


def _each(chosen: Sequence[str], rows_of: RowsOf, lenient: bool) -> Iterator[Sequence[Cell]]:
    """The rows of run after run. lenient: one that cannot be read is a notice."""
    with status("Reading") as say:
        for number, run_id in enumerate(chosen, start=1):
            say(f"{run_id}, {number} of {len(chosen)}")
            try:
                yield from rows_of(run_id)
            except HybridError as error:  # damaged, or of a task that this version does not know
                if not lenient:
                    raise
                notice(f"Run {run_id}: {error}")


def _to_stdout(columns: Sequence[str], rows: Iterable[Sequence[Cell]], bom: bool) -> None:
    try:
        write_csv(sys.stdout.buffer, columns, rows, bom)
        sys.stdout.buffer.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever read has enough
            raise
        raise StoreError(f"Standard output cannot be written: {error.strerror}.") from error


def _notice_incomplete(run: Run, records: int) -> None:
    if run.finished_at is None:
        notice(f"Run {run.run_id} is incomplete: {records} of {run.planned} records.")
