"""Stored runs as the CSV that `hybrid export` writes: a row for each system, or for each answer.

Rows are read while they are written, so that a run need not fit in memory.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from hybrid.compare import summaries
from hybrid.compare.export import record_columns, record_rows, summary_columns
from hybrid.errors import HybridError, StoreError
from hybrid.schema import Run
from hybrid.store import RunReader, list_runs, load_run, results_folder, score_headers
from hybrid.store.reading import read_run
from hybrid.store.tables import Cell, write_csv

Say = Callable[[str], None]
RowsOf = Callable[[str, Sequence[str], Path | None, Say], Iterator[Sequence[Cell]]]


def export_csv(
    file: IO[bytes],
    run_ids: Sequence[str],
    records: bool = False,
    bom: bool = False,
    lenient: bool = False,
    notice: Say = lambda _: None,
    say: Say = lambda _: None,
    root: Path | None = None,
) -> int:
    """Write stored runs as CSV, a row for each system or with `records` for each answer; return their number.

    bom: begin with the byte order mark, for older spreadsheets. The rest: see rows(). Raises HybridError.
    """
    written = rows(run_ids, records, lenient, notice, say, root)
    return write_csv(file, columns(records, run_ids, root), written, bom)


def complete_runs(notice: Say, root: Path | None = None) -> list[str]:
    """Ids of all complete runs, the newest first. notice: is told what is damaged. Raises StoreError."""
    listing = list_runs(root)
    for problem in listing.problems:
        notice(problem)
    complete = [summary.run.run_id for summary in listing.runs if summary.complete]
    if not complete:
        where = root or results_folder()
        raise StoreError(f"There are no complete runs in {where}. `hybrid bench SUITE` makes one.")
    return complete


def columns(records: bool, run_ids: Sequence[str] = (), root: Path | None = None) -> Sequence[str]:
    """Name the columns of the table, with a row for each record or else for each system.

    run_ids: of the runs in it: metrics that one of them was scored by later have columns at the end.
    """
    metrics = _scored_by(run_ids, root)
    return tuple(record_columns(metrics) if records else summary_columns(metrics))


def rows(
    run_ids: Sequence[str],
    records: bool,
    lenient: bool = False,
    notice: Say = lambda _: None,
    say: Say = lambda _: None,
    root: Path | None = None,
) -> Iterator[Sequence[Cell]]:
    """Read the rows of run after run, with the columns of columns(records, run_ids).

    lenient: a run that cannot be read is a notice, and no HybridError. notice: is
    told what is damaged or incomplete. say: is told which run is being read.
    """
    rows_of: RowsOf = _records if records else _summaries
    metrics = _scored_by(run_ids, root)
    for number, run_id in enumerate(run_ids, start=1):
        say(f"{run_id}, {number} of {len(run_ids)}")
        try:
            yield from rows_of(run_id, metrics, root, notice)
        except HybridError as error:  # damaged, or of a task that this version does not know
            if not lenient:
                raise
            notice(f"Run {run_id}: {error}")


def _scored_by(run_ids: Sequence[str], root: Path | None) -> list[str]:
    """Metrics that any of the runs was scored by in files of their own, or a private one in its records."""
    folder = root or results_folder()
    return list(dict.fromkeys(metric for run_id in run_ids for metric in _metrics(folder / run_id)))


def _metrics(folder: Path) -> Collection[str]:
    with suppress(HybridError):  # whoever reads the run says so
        run = read_run(folder)[0]
        if run.plan.private:
            return run.signatures
    return score_headers(folder)


def _summaries(
    run_id: str, metrics: Sequence[str], root: Path | None, notice: Say
) -> Iterator[Sequence[Cell]]:
    stored = load_run(run_id, root)
    for problem in stored.problems:
        notice(problem)
    _notice_incomplete(stored.run, len(stored.records), notice)
    names = summary_columns(metrics)
    for row in summaries(stored):
        yield [row.get(name) for name in names]


def _records(run_id: str, metrics: Sequence[str], root: Path | None, notice: Say) -> Iterator[Sequence[Cell]]:
    reader = RunReader(run_id, root)
    count = 0
    for row in record_rows(reader, metrics):
        count += 1
        yield row
    for problem in reader.problems:
        notice(problem)
    _notice_incomplete(reader.run, count, notice)


def _notice_incomplete(run: Run, records: int, notice: Say) -> None:
    if run.finished_at is None:
        notice(f"Run {run.run_id} is incomplete: {records} of {run.planned} records.")
