"""Writing a run: records are appended as they come, by one process at a time.

A record outlasts kill -9 as soon as append() returns. A power failure can take what the system
has not yet put on the disk: it is told to every 10 seconds, in sync() and at
the end, because waiting for the disk after each record would slow down, and so
disturb, what is measured between them.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import TYPE_CHECKING

from hybrid.errors import StoreError
from hybrid.schema import Environment, Example, Memory, Probe, Record, Resumption, Run, System
from hybrid.store.checks import CHECKSUM, check_bounds, check_record
from hybrid.store.codec import encode_example, encode_run
from hybrid.store.files import LostFile, as_store_error, atomic_write, sync_folder
from hybrid.store.folders import EXAMPLES, LOCK, RECORDS, RUN, results_folder
from hybrid.store.journal import AppendOnlyFile, TornWrite, cut_unsettled
from hybrid.store.reading import Key, RunReader, find_run, key_of, read_run
from hybrid.store.record_lines import encode_record
from hybrid.store.run_lock import claim_folder, lock_run

if TYPE_CHECKING:
    from filelock import BaseFileLock

SYNC_EVERY_S = 10.0


def check_writable(root: Path | None = None) -> None:
    """Raise StoreError when create() would: to be asked before what takes long."""
    root = root or results_folder()
    with _room(root), TemporaryFile(dir=root):
        pass


def create(run: Run, examples: Sequence[Example], root: Path | None = None, sealed: bool = True) -> "Writer":
    """Start a run in a folder of its own and hold its lock.

    When its id is taken, by a clock that was set back or another process, it
    gets other digits: `writer.run` is what was stored. sealed: false for the copy of a run that had no
    checksums. Raises StoreError, also for a run that nobody could read again.
    """
    root = root or results_folder()
    try:
        check_bounds(run)
    except ValueError as error:
        raise StoreError(f"No such run can be stored: {error}.") from error
    with _room(root):
        folder = claim_folder(root, run.run_id)
        lock = lock_run(folder)
        run = replace(run, run_id=folder.name)
        try:
            (folder / RECORDS).touch()
            atomic_write(folder / EXAMPLES, b"".join(map(encode_example, examples)))
            data = encode_run(run, **_beside(sealed))
            atomic_write(folder / RUN, data)  # last: from here on the folder is a run
            sync_folder(root)
            return Writer(folder, run, tuple(examples), lock, sealed=sealed)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            lock.release()
            raise


def resume(run_id: str, root: Path | None = None) -> "Writer":
    """Go on with a run that was not finished; what a killed process left half written is cut off.

    run_id: as find_run() understands it. Raises StoreError when the run is
    complete, is being written, or has lost some of its examples.
    """
    root = root or results_folder()
    folder = root / find_run(run_id, root)
    _check_unfinished(read_run(folder)[0])  # before a lock is laid into a complete run
    with as_store_error(f"Run {folder.name} cannot be resumed"):
        lock = lock_run(folder)
        try:
            return _resumed(folder, lock)
        except BaseException:
            lock.release()
            raise


class Writer:
    """The one that may append to a run. Close it, or use it as a context manager.

    run: as stored. examples: in the order of the run. earlier: the records that a
    resumed run has already. problems: a sentence for each damaged line that it
    has; those records are not in `done`.
    """

    def __init__(
        self,
        folder: Path,
        run: Run,
        examples: tuple[Example, ...],
        lock: "BaseFileLock",
        earlier: tuple[Record, ...] = (),
        problems: tuple[str, ...] = (),
        sealed: bool = True,
    ) -> None:
        self._beside = _beside(sealed)
        self.run, self.examples, self.earlier, self.problems = run, examples, earlier, problems
        self._folder, self._lock, self._done = folder, lock, set(map(key_of, earlier))
        self._known = frozenset(example.id for example in examples)
        self._file = AppendOnlyFile(folder / RECORDS, f"run {run.run_id}")
        self._synced = time.monotonic()

    @property
    def done(self) -> frozenset[Key]:
        """(example_id, repeat, system) of every record that is stored."""
        return frozenset(self._done)

    @property
    def lost(self) -> bool:
        """Whether the run's files were removed, moved or replaced: then nothing of it is stored here."""
        try:
            self._check_place()
        except LostFile:
            return True
        except ValueError:  # it is closed, and nothing more will be written
            pass
        return False

    @property
    def environment(self) -> Environment:
        """Where the latest stored record was measured; of a run without any, where it was begun."""
        moves = self._moves()
        return moves[-1].environment if moves else self.run.environment

    def move(self, here: Environment) -> None:
        """From now on records are measured in `here`: run.json says so, from which record on."""
        moves, stored = self._moves(), len(self._done)
        run = replace(self.run, resumptions=moves)
        if not stored:
            run = replace(run, environment=here)
        elif here != self.environment:
            run = replace(run, resumptions=(*moves, Resumption(records_before=stored, environment=here)))
        if run != self.run:
            self._rewrite(run)

    def add_probe(self, probe: Probe) -> None:
        """Store what the machine could do after the records so far."""
        probe = replace(probe, records_before=len(self._done))
        self._rewrite(replace(self.run, probes=(*self.run.probes, probe)))

    def append(self, records: Sequence[Record]) -> None:
        """Store records that belong together, all or none; when this returns, a killed process loses none.

        Raises StoreError when the disk is full or the like: what was stored
        before stays. Raises ValueError for records of another run or stored already.
        """
        keys = [key_of(record) for record in records]
        if len({*keys} - self._done) < len(keys):
            raise ValueError(f"records of {keys} are stored already or come twice")
        for record in records:
            check_record(record, self.run, self._known)
        rows = len(records)
        data = b"".join(encode_record(record, row, rows) for row, record in enumerate(records))
        with self._explained():
            try:
                self._file.append(data)
            except TornWrite:
                self.close()
                raise
            self._done.update(keys)
        if time.monotonic() - self._synced >= SYNC_EVERY_S:
            self.sync()

    def sync(self) -> None:
        """Wait until all records are on the disk, where a power failure loses none. Raises StoreError."""
        with self._explained():
            self._file.sync()
        self._synced = time.monotonic()

    def finish(self, memory: Mapping[System, Memory], finished_at: str) -> Run:
        """Mark the run as complete, close it, and return it as it is now stored.

        finished_at: UTC, ISO 8601. Raises ValueError when records are missing.
        """
        if len(self._done) != self.run.planned:
            raise ValueError(f"{len(self._done)} of {self.run.planned} records are stored")
        run = replace(self.run, memory=dict(memory), finished_at=finished_at)
        with self._explained():
            self._check_place()
            self._file.sync()  # before run.json says that they are there
            size = self._file.size
            data = encode_run(run, **self._beside, records=run.planned, records_bytes=size)
            atomic_write(self._folder / RUN, data)
            self._check_place()
            (self._folder / LOCK).unlink(missing_ok=True)  # still held; a complete run is never locked again
        self.run = run
        self.close()
        return run

    def discard(self) -> None:
        """Close the run and remove it, as if it had not been begun; only one without records."""
        if self._done or self.problems:
            raise ValueError(f"{len(self._done)} records of run {self.run.run_id} are stored")
        shutil.rmtree(self._folder, ignore_errors=True)  # before its lock is let go
        self.close()

    def close(self) -> None:
        """Let go of the run, finished or not. Raises StoreError when its end did not reach the disk."""
        try:
            with self._explained():
                self._file.close()
        finally:
            self._lock.release()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(StoreError):  # the first failure is the one to be seen
                self.close()

    def _check_place(self) -> None:
        """Raise LostFile unless the run's files are those that it was begun with."""
        self._file.check_place()
        for name in (RUN, EXAMPLES):
            if not (self._folder / name).is_file():
                raise LostFile(0, f"{self._folder / name} was removed while the run was written")

    def _rewrite(self, run: Run) -> None:
        with self._explained():
            self._check_place()
            atomic_write(self._folder / RUN, encode_run(run, **self._beside))
        self.run = run

    def _moves(self) -> tuple[Resumption, ...]:
        """Return the resumptions under which something was measured."""
        return tuple(move for move in self.run.resumptions if move.records_before < len(self._done))

    def _explained(self) -> AbstractContextManager[None]:
        name = self.run.run_id
        fix = f"The records so far are kept: when that is mended, `hybrid bench --resume {name}` goes on."
        return as_store_error(f"Run {name} cannot be written", fix)


def _beside(sealed: bool) -> dict[str, str]:
    """Give what stands in run.json of checksums: nothing where earlier lines have none."""
    return {"checksum": CHECKSUM} if sealed else {}


def _resumed(folder: Path, lock: "BaseFileLock") -> Writer:
    reader = RunReader(folder.name, folder.parent)
    _check_unfinished(reader.run)  # again: its writer may have finished it before this one had the lock
    _check_examples(reader)
    cut_unsettled(folder / RECORDS)
    earlier = tuple(reader.records())
    problems = tuple(reader.problems)
    return Writer(folder, reader.run, reader.examples, lock, earlier, problems, reader.sealed)


def _check_examples(reader: RunReader) -> None:
    """Raise StoreError unless the examples of a run are all there."""
    run, problems = reader.run, reader.problems
    planned, stored = run.planned // (run.plan.repeats * len(run.plan.systems)), len(reader.examples)
    if stored != planned and not problems:
        problems = [f"{reader.folder / EXAMPLES} has {stored} examples and {planned} were planned."]
    if problems:
        raise StoreError(f"Run {run.run_id} cannot be resumed: {' '.join(problems)} Start a new run.")


def _check_unfinished(run: Run) -> None:
    if run.finished_at is not None:
        raise StoreError(f"Run {run.run_id} is complete: there is nothing to resume.")


@contextmanager
def _room(root: Path) -> Iterator[None]:
    """Make the results folder when it is missing; whatever keeps runs from it is a StoreError."""
    with as_store_error(
        f"No run can be stored in {root}", "HYBRID_RESULTS names another folder for results."
    ):
        root.mkdir(parents=True, exist_ok=True)
        yield
