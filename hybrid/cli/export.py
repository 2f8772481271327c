"""`hybrid export`: stored runs as CSV, a row for each system or each record."""

import errno
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from hybrid.cli.console import notice, status
from hybrid.errors import StoreError
from hybrid.store import find_run
from hybrid.store.tables import Cell, replacing, write_csv


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
    from hybrid.presentation.runs.exports import columns, complete_runs, rows

    chosen = list(dict.fromkeys(find_run(name) for name in names)) or complete_runs(notice)
    with status("Reading") as say:
        found = rows(chosen, records, lenient=not names, notice=notice, say=say)
        names_of_columns = columns(records, chosen)
        if output == "-":
            _to_stdout(names_of_columns, found, bom)
            return
        with replacing(Path(output)) as file:
            count = write_csv(file, names_of_columns, found, bom)
    click.echo(f"{count} rows written to {output}.", err=True)


def _to_stdout(columns: Sequence[str], rows: Iterable[Sequence[Cell]], bom: bool) -> None:
    try:
        write_csv(sys.stdout.buffer, columns, rows, bom)
        sys.stdout.buffer.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever read has enough
            raise
        raise StoreError(f"Standard output cannot be written: {error.strerror}.") from error
