"""Files that are read with care and written so that a crash leaves the old or the new, never half.

Only regular files are read, and never through a symbolic link: a results
folder may come from somewhere else.
"""

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOLCK, ENOSYS, EOPNOTSUPP
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hybrid.errors import InputError, StoreError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LARGEST_RUN_FILE = 16 * 2**20  # bytes of a run.json; a real one has some 2,000
BESIDE = ".new"  # how the name of a file ends that has not yet taken its place; it begins with a dot
STALE_S = 24 * 3600  # in which whatever is written beside its place has taken it, or its writer was killed


class LostFile(OSError):
    """The file that is being written was removed, moved or replaced: nobody will read what is appended."""


@contextmanager
def as_store_error(what: str, fix: str = "") -> Iterator[None]:
    """Turn an OSError into a StoreError: `what`, the system's reason, `fix`; a LostFile cannot be mended."""
    try:
        yield
    except LostFile as error:
        raise StoreError(f"{what}: {error.strerror}. Start anew.") from error
    except OSError as error:
        raise StoreError(f"{what}: {error.strerror or error}.{fix and ' ' + fix}") from error


@contextmanager
def open_regular(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file to be read. Raises OSError for anything else, links and pipes included."""
    # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever
    descriptor = os.open(path, os.O_RDONLY | flag("O_NOFOLLOW") | flag("O_NONBLOCK") | flag("O_BINARY"))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not a file")
        yield file


def read_small(path: Path, limit: int = LARGEST_RUN_FILE) -> bytes:
    """All bytes of a small file. Raises OSError, also when it has more than `limit` bytes."""
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(0, f"it has more than {limit} bytes")
    return data


def read_bounded(stream: IO[bytes], name: str, limit: int) -> bytes:
    """All bytes of a stream that may never end, such as stdin. Raises InputError beyond `limit` bytes."""
    data = bytearray()
    while len(data) <= limit and (piece := stream.read(min(1 << 20, limit + 1 - len(data)))):
        data += piece
    if len(data) > limit:
        raise InputError(f"{name} has more than {limit:,} bytes; give that much at the most.")
    return bytes(data)


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file in one step, as open_atomic() does. Raises OSError."""
    with open_atomic(path) as file:
        file.write(data)


@contextmanager
def open_atomic(path: Path, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a file to write beside `path`, which takes its place when the block ends well.

    A reader, another writer and a crash see the old file or the new one, never
    half. Permissions of the old one stay. durable: once the block has ended, a
    power failure takes nothing back; False for what can be made again.
    Raises OSError.
    """
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}{BESIDE}")
    try:
        with beside.open("xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            beside.chmod(stat.S_IMODE(path.stat().st_mode))
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


@contextmanager
def open_folder_atomic(folder: Path) -> Iterator[Path]:
    """Make an empty folder beside `folder`, which takes its place when the block ends well.

    Until then its name begins with a dot: what lists folders does not take it for whole. A block that
    fails leaves the old one. A crash between the two renames leaves it where old_folder() says.
    Raises OSError.
    """
    new, old = folder.with_name(f".{folder.name}{BESIDE}"), old_folder(folder)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        for path in new.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())  # where a full disk may be found only now
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if folder.exists():  # else the last crash was here, and .old is all there is
        shutil.rmtree(old, ignore_errors=True)
        folder.replace(old)
    new.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
    sync_folder(folder.parent)


def old_folder(folder: Path) -> Path:
    """Where what `folder` was before lies while open_folder_atomic() puts another in its place."""
    return folder.with_name(f".{folder.name}.old")


def clear_stale(folder: Path) -> None:
    """Remove what processes that were killed long ago have left half-written in a folder of the cache."""
    for path in folder.glob(f".*{BESIDE}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def make_private(folder: Path) -> None:
    """Make a folder, and what it lies in, that only this user can enter (0700); close one that is there.

    Raises OSError, also for what is no folder or another user's.
    """
    for each in reversed((folder, *folder.parents)):
        if not each.exists():
            each.mkdir(0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(0, "it is not a folder")
    if hasattr(os, "getuid"):
        if status.st_uid != os.getuid():
            raise PermissionError(0, "it belongs to another user")
        if status.st_mode & 0o077:
            folder.chmod(0o700)


def take_lock(path: Path, wait_s: float = 0.0, mode: int = 0o644) -> "BaseFileLock | None":
    """Take the kernel's lock on a file, which ends with its process; None while another has it.

    mode: permissions of the file, where it is made. Raises OSError where it
    cannot be written, and where the file system has no locks.
    """
    from filelock import FileLock, Timeout  # costs a twentieth of a second

    # No soft lock in its place: that one outlives a process that was killed.
    lock = FileLock(path, mode=mode, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        if not path.exists():  # filelock takes that for a race, also where no file can be made, as in /proc
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, mode))
        return None
    except OSError as error:
        if error.errno in (ENOLCK, ENOSYS, EOPNOTSUPP):
            raise OSError(error.errno, f"its file system has no locks ({error.strerror})") from error
        raise
    return lock


def sync_folder(folder: Path) -> None:
    """Make new names in a folder outlast a power failure, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except PermissionError:  # a folder that may be written and not read
            return
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def flag(name: str) -> int:
    return int(getattr(os, name, 0))  # none on systems that do not have it
