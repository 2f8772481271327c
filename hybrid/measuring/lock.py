"""One measurement at a time on a machine: two at once would slow each other and both be wrong.

The lock is the kernel's, on a file in this user's runtime folder, so it ends
with the process that holds it, whatever ends that. A note beside it says who
holds it; a note is believed only while its process is alive, and its writer's.
"""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from hybrid.errors import BusyError, HybridError
from hybrid.schema import Observer, Waiting, silent
from hybrid.store.files import flag, open_regular, take_lock
from hybrid.store.folders import runtime_folder
from hybrid.store.typed_json import decode, encode

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = "hybrid-bench.lock"
NOTE = "hybrid-bench.lock.json"
UNNAMED = "a process that left no note"
POLL_S = 0.5
LIVE = "live"  # the run id of one prompt in the browser: short, so that a benchmark waits for it
LARGEST_NOTE = 4096  # bytes
EVERYONE = 0o666  # where HYBRID_RUNTIME names a folder that users share, the next may be another user


@dataclass(frozen=True)
class Holder:
    """Who measures. since: UTC, ISO 8601."""

    pid: int
    run_id: str
    suite: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid}, run {self.run_id} of {self.suite}, since {self.since}"


@contextmanager
def measuring(
    run_id: str,
    suite: str,
    wait_s: float = 0.0,
    observer: Observer = silent,
    folder: Path | None = None,
) -> Iterator[None]:
    """Hold the machine's lock while the block runs.

    run_id, suite: what is measured, for the note.
    wait_s: how long to wait for another holder, in seconds; 0 gives up at once.
    observer: sent Waiting twice a second meanwhile, with a sentence that names the holder.
    folder: where the lock lies; runtime_folder() when None.
    Raises BusyError, naming the holder, when the time is over, HybridError when
    the folder cannot be written or has no locks, and ValueError when wait_s is no time.
    """
    if not wait_s >= 0:  # nan neither: no deadline would ever come
        raise ValueError(f"wait_s is {wait_s}; it must be 0 or more")
    folder = folder or runtime_folder()
    deadline = time.monotonic() + wait_s
    while (lock := _taken(folder / LOCK)) is None:
        busy = f"Another measurement is running on this machine: {holder(folder) or UNNAMED}."
        if time.monotonic() >= deadline:
            how = f"It did not end within {wait_s:g} s; try" if wait_s else "Wait for it with"
            raise BusyError(f"{busy} {how} {'a longer ' if wait_s else ''}--wait SECONDS, or end it.")
        observer(Waiting(sentence=f"Waiting. {busy}"))
        time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))
    try:
        mine = Holder(os.getpid(), run_id, suite, datetime.now(UTC).isoformat(timespec="seconds"))
        _write_note(folder / NOTE, encode(mine).decode())
        yield
    finally:
        _write_note(folder / NOTE, "")
        lock.release()


def holder(folder: Path | None = None) -> Holder | None:
    """Who measures on this machine, by the note; None when it is missing, damaged, stale or another's."""
    try:
        with open_regular((folder or runtime_folder()) / NOTE) as file:
            note = decode(Holder, file.read(LARGEST_NOTE))
            owner = os.fstat(file.fileno()).st_uid
        process = psutil.Process(note.pid)
        believed = str(note).isprintable() and (not hasattr(process, "uids") or process.uids().real == owner)
    except (HybridError, OSError, ValueError, OverflowError, psutil.Error):
        return None
    return note if believed else None


def _taken(path: Path) -> "BaseFileLock | None":
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return take_lock(path, mode=EVERYONE)
    except OSError as error:
        raise HybridError(
            f"The lock on this machine's measurements, {path}, cannot be taken: {error.strerror or error}. "
            "HYBRID_RUNTIME names another folder for it, on a local disk and yours to write."
        ) from error


def _write_note(note: Path, text: str) -> None:
    """Replace the note's text. The lock holds without it, so a failure only leaves the holder unnamed."""
    with suppress(OSError):
        # Opened before created: in a sticky folder Linux refuses O_CREAT on another user's file.
        # Never through a link, which anyone may have laid there, nor waiting for a pipe's reader.
        flags = os.O_WRONLY | flag("O_NOFOLLOW") | flag("O_NONBLOCK")
        try:
            number = os.open(note, flags)
        except FileNotFoundError:
            number = os.open(note, flags | os.O_CREAT | os.O_EXCL, EVERYONE)
            if hasattr(os, "fchmod"):
                os.fchmod(number, EVERYONE)  # past the umask
        with os.fdopen(number, "w", encoding="utf-8") as file:
            if stat.S_ISREG(os.fstat(number).st_mode):
                file.truncate(0)
                file.write(text)
