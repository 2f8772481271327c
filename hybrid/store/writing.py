"""Writing a run: records are appended as they come, by one process at a time.

A record is handed to the system in one write() before append() returns, which
is all that outlasting kill -9 needs. A power failure can take what the system
has not yet put on the disk: it is told to every 10 seconds and at the end,
because waiting for the disk after each record would slow down, and so
disturb, what is measured between them.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from hybrid.errors import StoreError
from hybrid.schema import Example, Memory, Plan, Record, Run, System
from hybrid.store.codec import encode_example, encode_record, encode_run
from hybrid.store.files import Torn, explained, open_to_append, opened, replace_file, sync_folder, write_whole
from hybrid.store.reading import (
    EXAMPLES,
    RECORDS,
    RUN,
    RUN_ID,
    Key,
    RunReader,
    check_record,
    find_run,
    key_of,
    read_run,
    results_folder,
    settled_end,
)

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"
SYNC_EVERY_S = 10.0
_SUITE_CHARACTERS = 40  # of a suite's name in the id of a run


def new_run_id(plan: Plan, now: datetime) -> str:
    """An id such as 20261123-014512-everyday-en-de-3f9c: when (UTC), which suite, four random digits."""
    name = plan.suite
    if name.startswith("file:"):
        name = Path(name.removeprefix("file:")).stem  # the folders of this machine are nobody's business
    slug = re.sub(r"[^0-9a-z]+", "-", name.lower()).strip("-")[:_SUITE_CHARACTERS].strip("-")
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{slug or 'suite'}-{secrets.token_hex(2)}"


def create(run: Run, examples: Sequence[Example], root: Path | None = None) -> "Writer":
    """Start a run in a folder of its own and hold its lock.

    When its id is taken, by a clock that was set back or another process, it
    gets other digits: `writer.run` is what was stored. Raises StoreError.
    """
    root = root or results_folder()
    with explained(f"No run can be stored in {root}", "HYBRID_RESULTS names another folder for results."):
        root.mkdir(parents=True, exist_ok=True)
        folder = _claimed(root, run.run_id)
        lock = _locked(folder)
        run = replace(run, run_id=folder.name)
        try:
            (folder / EXAMPLES).write_bytes(b"".join(map(encode_example, examples)))
            (folder / RECORDS).touch()
            replace_file(folder / RUN, encode_run(run))  # last: from here on the folder is a run
            sync_folder(root)
            return Writer(folder, run, tuple(examples), lock)
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
    with explained(f"Run {folder.name} cannot be resumed"):
        lock = _locked(folder)
        try:
            return _resumed(folder, lock)
        except BaseException:
            lock.release()
            raise


class Writer:
    """The one that may append to a run. Close it, or use it as a context manager.

    run: as stored. examples: in the order of the run. problems: a sentence for
    each damaged line that a resumed run has; those records are not in `done`.
    """

    def __init__(
        self,
        folder: Path,
        run: Run,
        examples: tuple[Example, ...],
        lock: "BaseFileLock",
        done: frozenset[Key] = frozenset(),
        problems: tuple[str, ...] = (),
    ) -> None:
        self.run, self.examples, self.problems = run, examples, problems
        self._folder, self._lock, self._done = folder, lock, set(done)
        self._known = frozenset(example.id for example in examples)
        self._file: int | None = open_to_append(folder / RECORDS)
        self._synced = time.monotonic()

    @property
    def done(self) -> frozenset[Key]:
        """(example_id, repeat, system) of every record that is stored."""
        return frozenset(self._done)

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
            self._write(data)
            self._done.update(keys)
            if time.monotonic() - self._synced >= SYNC_EVERY_S:
                os.fsync(self._descriptor())
                self._synced = time.monotonic()

    def finish(self, memory: Mapping[System, Memory], finished_at: str) -> Run:
        """Mark the run as complete, close it, and return it as it is now stored.

        finished_at: UTC, ISO 8601. Raises ValueError when records are missing.
        """
        if len(self._done) != self.run.planned:
            raise ValueError(f"{len(self._done)} of {self.run.planned} records are stored")
        run = replace(self.run, memory=dict(memory), finished_at=finished_at)
        with self._explained():
            os.fsync(self._descriptor())  # before run.json says that they are there
            size = os.fstat(self._descriptor()).st_size
            replace_file(self._folder / RUN, encode_run(run, records=run.planned, records_bytes=size))
            (self._folder / LOCK).unlink(missing_ok=True)  # still held; a complete run is never locked again
        self.run = run
        self.close()
        return run

    def close(self) -> None:
        """Let go of the run, finished or not. Raises StoreError when its end did not reach the disk."""
        descriptor, self._file = self._file, None
        try:
            if descriptor is not None:
                with self._explained():
                    try:
                        os.fsync(descriptor)
                    finally:
                        os.close(descriptor)
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

    def _write(self, data: bytes) -> None:
        try:
            write_whole(self._descriptor(), data)
        except Torn:  # half a line is left: resume() cuts it off, another append would not
            self.close()
            raise

    def _descriptor(self) -> int:
        if self._file is None:
            raise ValueError(f"run {self.run.run_id} is closed")
        return self._file

    def _explained(self) -> AbstractContextManager[None]:
        name = self.run.run_id
        fix = f"The records so far are kept: when that is mended, `hybrid bench --resume {name}` goes on."
        return explained(f"Run {name} cannot be written", fix)


def _resumed(folder: Path, lock: "BaseFileLock") -> Writer:
    reader = RunReader(folder.name, folder.parent)
    _check_unfinished(reader.run)  # again: its writer may have finished it before this one had the lock
    if reader.problems:
        raise StoreError(f"Run {folder.name} cannot be resumed: {' '.join(reader.problems)}")
    descriptor = open_to_append(folder / RECORDS)
    try:
        with opened(folder / RECORDS) as file:
            os.ftruncate(descriptor, settled_end(file))
    finally:
        os.close(descriptor)
    done = frozenset(map(key_of, reader.records()))
    return Writer(folder, reader.run, reader.examples, lock, done, tuple(reader.problems))


def _check_unfinished(run: Run) -> None:
    if run.finished_at is not None:
        raise StoreError(f"Run {run.run_id} is complete: there is nothing to resume.")


def _claimed(root: Path, run_id: str) -> Path:
    """A new folder under root: mkdir() succeeds for one process only."""
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(f"{run_id!r} is not the id of a run")
    wanted = run_id
    while True:
        try:
            (root / wanted).mkdir()
        except FileExistsError:
            wanted = f"{re.sub('-[0-9a-f]{4}$', '', run_id)}-{secrets.token_hex(2)}"
        else:
            return root / wanted


def _locked(folder: Path) -> "BaseFileLock":
    """The lock of a run, which ends with its process however that ends."""
    from filelock import FileLock, Timeout  # costs a twentieth of a second

    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise StoreError(
            f"Run {folder.name} is being written by another process. Wait for it or stop it."
        ) from error
    return lock
