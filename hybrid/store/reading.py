"""Stored runs: which there are, and what is in one.

What is damaged is named by file and line, and hides nothing else. What is
being written, or was when its process was killed, is read up to its last
whole append.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hybrid.errors import StoreError
from hybrid.format import LONGEST_REASON, printable
from hybrid.schema import Example, Record, Run, System
from hybrid.store.checks import check_record, check_seal, unsound
from hybrid.store.codec import RunFile, decode_example, decode_run
from hybrid.store.files import as_store_error, read_small
from hybrid.store.folders import EXAMPLES, LATEST, RECORDS, RUN, RUN_ID, match_id, results_folder
from hybrid.store.journal import decoded_lines, decoded_together, line_count
from hybrid.store.record_lines import RecordLine, decode_line, decode_sound, record_of
from hybrid.store.scores import add_scores, read_scores, score_headers

Key = tuple[str, int, System]  # example_id, repeat, system
LARGE = 32 * 2**20  # bytes of an incomplete run, a second's reading, beyond which it is listed by its lines


@dataclass(frozen=True)
class RunSummary:
    """A run and how many records it has so far. sealed: each of them ends in a checksum."""

    run: Run
    records: int
    sealed: bool = True

    @property
    def complete(self) -> bool:
        return self.run.finished_at is not None


@dataclass(frozen=True)
class Listing:
    """Runs, the newest first. problems: a sentence for each that is damaged.

    damaged: ids of those that cannot be read at all; delete_run() takes them.
    """

    runs: tuple[RunSummary, ...]
    problems: tuple[str, ...]
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredRun:
    """All that is stored of a run. problems: a sentence for each thing that is damaged and left out.

    sealed: each example and record ends in a checksum, so that a digit that was changed is found.
    """

    run: Run
    examples: tuple[Example, ...]
    records: tuple[Record, ...]
    problems: tuple[str, ...]
    sealed: bool = True


def list_runs(root: Path | None = None) -> Listing:
    """List the runs of a results folder, without reading the records of those that are complete.

    A folder that is not there has none. Raises StoreError when it cannot be read.
    """
    root = root or results_folder()
    runs: list[RunSummary] = []
    problems: list[str] = []
    damaged: list[str] = []
    for name in _folders(root):
        try:
            runs.append(_summary(root / name, problems))
        except StoreError as error:
            problems.append(str(error))
            damaged += [name] if RUN_ID.fullmatch(name) else []
    runs.sort(key=lambda summary: (_moment(summary.run.created_at), summary.run.run_id), reverse=True)
    return Listing(tuple(runs), tuple(problems), tuple(damaged))


def find_run(text: str, root: Path | None = None) -> str:
    """Find the id of the run that `text` names: the id, the beginning of just one, or `latest`.

    Raises StoreError, also for what can be no id, such as a path.
    """
    root = root or results_folder()
    if text == LATEST:
        if not (runs := list_runs(root).runs):
            raise StoreError(f"There are no runs in {root}. `hybrid bench` makes one.")
        return runs[0].run.run_id
    return match_id(text, _folders(root), "run", f"`hybrid runs` lists those in {root}.")


def load_run(run_id: str, root: Path | None = None) -> StoredRun:
    """Everything of the run that `run_id` names, as find_run() understands it.

    Raises StoreError when run.json or a whole file cannot be read; damaged
    lines become `problems`.
    """
    reader = RunReader(run_id, root)
    records = tuple(reader.records())
    signatures = {**reader.run.signatures, **reader.score_signatures}
    run = replace(reader.run, signatures=signatures)
    return StoredRun(run, reader.examples, records, tuple(reader.problems), reader.sealed)


class RunReader:
    """One stored run whose records are read one at a time, for runs that are larger than memory.

    problems: grows while records are read. sealed: as in StoredRun.
    """

    def __init__(self, run_id: str, root: Path | None = None) -> None:
        root = root or results_folder()
        self.folder = root / find_run(run_id, root)
        self.problems: list[str] = []
        self._unsound = Counter[str]()
        self.run, self._file = read_run(self.folder, self.problems)
        self.sealed = self._file.sealed
        self.examples = tuple(self._examples())

    @property
    def score_signatures(self) -> dict[str, str]:
        """How the scores were computed that stand in files of their own, by metric."""
        headers = {} if self.run.plan.private else score_headers(self.folder)
        return {metric: header.signature for metric, header in headers.items()}

    def rows(self) -> Iterator[Sequence[RecordLine]]:
        """Read the stored records as their lines have them, many at once, with all their scores.

        They come in the order in which they were measured.
        """
        known = {example.id for example in self.examples}
        seen: set[Key] = set()
        self._unsound.clear()

        def decode_all(lines: Sequence[bytes]) -> Sequence[RecordLine] | None:
            rows = decode_sound(lines, self.run, known, self.sealed)
            keys = {(row.example, row.repeat, row.system) for row in rows or ()}
            if rows is None or len(keys) < len(rows) or not keys.isdisjoint(seen):
                return None
            seen.update(keys)
            return rows

        def decode(line: bytes) -> RecordLine:
            row = decode_line(line, self.sealed)
            record = record_of(row)
            check_record(record, self.run, known)
            if (key := key_of(record)) in seen:
                raise ValueError(f"it repeats example {record.example_id!r}, {record.system}")
            seen.add(key)
            self._take_out_unsound(row)
            return row

        path, finished = self.folder / RECORDS, self.run.finished_at is not None
        scores = {} if self.run.plan.private else read_scores(self.folder, self.problems)
        for rows in decoded_together(path, decode_all, decode, self.problems, settled=not finished):
            add_scores(rows, scores)
            yield rows
        self._miss(len(seen))

    def records(self) -> Iterator[Record]:
        """Read the stored records in the order in which they were measured, with all their scores."""
        for rows in self.rows():
            yield from map(record_of, rows)

    def _miss(self, records: int) -> None:
        """Say what is lost of a run that has so many sound records."""
        path = self.folder / RECORDS
        if self.run.finished_at is not None and records < self.run.planned:
            lost = f"{self.run.planned - records} of {self.run.planned} records"
            self.problems.append(f"{path}: {lost} are damaged or missing.")
        for metric, count in self._unsound.items():
            lost = f"statistics of {metric} that no answer has are left out, of {count} answers"
            fix = "" if self.run.plan.private else f"; `hybrid score {self.folder.name}` computes them"
            self.problems.append(f"{path}: {lost}{fix}.")

    def _take_out_unsound(self, row: RecordLine) -> None:
        """Take out statistics that no answer has; they are counted."""
        if metrics := unsound(row.statistics):
            self._unsound.update(metrics)
            row.statistics = {name: row.statistics[name] for name in row.statistics if name not in metrics}

    def _examples(self) -> Iterator[Example]:
        seen: set[str] = set()

        def decode(line: bytes) -> Example:
            example = decode_example(line, self.sealed, self.run.plan.private)
            if example.id in seen:
                raise ValueError(f"it repeats example {example.id!r}")
            seen.add(example.id)
            return example

        yield from decoded_lines(self.folder / EXAMPLES, decode, self.problems, settled=False)


def key_of(record: Record) -> Key:
    """Return what a run holds only once."""
    return record.example_id, record.repeat, record.system


def _folders(root: Path) -> list[str]:
    """Names of the folders that hold a run. What else lies there, links included, is none of ours."""
    with as_store_error(f"{root} cannot be read", "HYBRID_RESULTS names another folder of results."):
        try:
            with os.scandir(root) as entries:
                names = [e.name for e in entries if e.is_dir(follow_symlinks=False) and e.name[0] != "."]
        except FileNotFoundError:
            return []
    # RECORDS: a run that has lost its run.json is reported; one that is just being made has no records
    return [n for n in names if os.path.lexists(root / n / RUN) or _size(root / n / RECORDS)]


def _summary(folder: Path, problems: list[str]) -> RunSummary:
    sentences: list[str] = []
    run, header = read_run(folder, sentences)
    path = folder / RECORDS
    if run.finished_at is None and _size(path) + _size(folder / EXAMPLES) <= LARGE:
        reader = RunReader(folder.name, folder.parent)  # only reading it all tells how much of it is whole
        records = sum(map(len, reader.rows()))
        problems += reader.problems
        return RunSummary(reader.run, records, reader.sealed)
    if run.finished_at is None:
        problems += sentences
        return RunSummary(run, line_count(path), header.sealed)
    size, stored = _size(path), header.records_bytes
    if stored is not None and size != stored:
        sentences.append(f"{path} has {size} bytes and had {stored} when its run was finished.")
    problems += sentences
    return RunSummary(run, run.planned, header.sealed)


def read_run(folder: Path, problems: list[str] | None = None) -> tuple[Run, RunFile]:
    """Read the Run in a folder and what its file holds beside it. The folder's name is its id.

    problems: grows by a sentence where the file was changed after it was written. Raises StoreError.
    """
    path = folder / RUN
    if not RUN_ID.fullmatch(folder.name):
        raise StoreError(f"The name of {str(folder)!r} may have only A-Z, a-z, 0-9, - and _: rename it.")
    with as_store_error(f"{path} cannot be read"):
        data = read_small(path)
    try:
        run, header = decode_run(data)
    except ValueError as error:
        raise StoreError(f"{path} cannot be read: {printable(str(error), LONGEST_REASON)}.") from error
    try:
        check_seal(data, indented=True)
    except ValueError as error:  # people may write into it, and all in it is still what a run can have
        if problems is not None:
            problems.append(f"{path} is to be doubted: {error}.")
    return replace(run, run_id=folder.name), header


def run_of(run_id: str, root: Path | None = None) -> Run:
    """Read a stored run alone, without its examples and records. run_id: as find_run() understands it."""
    root = root or results_folder()
    return read_run(root / find_run(run_id, root))[0]


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _moment(created_at: str) -> float:
    """Seconds since 1970."""
    moment = datetime.fromisoformat(created_at)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
