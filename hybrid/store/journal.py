"""Files of lines that only grow: written whole or not at all, read up to the last whole append.

A line is handed to the system in one write(), which is all that outlasting
kill -9 needs. A killed process may leave a part of an append, which is passed
over, and cut off by whoever goes on.
"""

import mmap
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TypeVar

from hybrid.store.files import LostFile, as_store_error, flag, open_regular
from hybrid.store.record_lines import rows_to_drop

T = TypeVar("T")
LONGEST_LINE = 4 * 2**20  # bytes; a record of 4,096 tokens has some 60,000
_AT_ONCE = 2**16  # bytes of lines that are decoded together: what becomes of them fits a core's cache
_NAMED = 10  # damaged lines of one file that are named; the rest are counted


class TornWrite(OSError):
    """A file ends in a part of what was to be written, and must not be appended to."""


class AppendOnlyFile:
    """A file that one process appends to. name: of what it holds, such as `run X`, for errors."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._open: int | None = _open_to_append(path)

    @property
    def size(self) -> int:
        """Bytes in it."""
        return os.fstat(self._descriptor()).st_size

    def check_place(self) -> None:
        """Raise LostFile when the path does not lead to this file any more."""
        own = os.fstat(self._descriptor())
        with suppress(OSError):
            if os.path.samestat(own, self._path.lstat()):
                return
        raise LostFile(0, f"{self._path} was removed, moved or replaced while it was written")

    def append(self, data: bytes) -> None:
        """Write all or nothing. Raises OSError, LostFile among them; ValueError once it is closed."""
        self.check_place()
        try:
            _write_whole(self._descriptor(), data)
        except TornWrite:  # half a line is left: whoever goes on cuts it off, another append would not
            with suppress(OSError):
                self.close()
            raise

    def sync(self) -> None:
        """Wait until all of it is on the disk, where a power failure loses nothing. Raises OSError."""
        os.fsync(self._descriptor())

    def close(self) -> None:
        """Let go of it, once all of it is on the disk. Raises OSError when that failed."""
        descriptor, self._open = self._open, None
        if descriptor is not None:
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _descriptor(self) -> int:
        if self._open is None:
            raise ValueError(f"{self._name} is closed")
        return self._open


def cut_unsettled(path: Path) -> None:
    """Take off what a killed process has left of an append. Raises OSError."""
    descriptor = _open_to_append(path)
    try:
        with open_regular(path) as file:
            os.ftruncate(descriptor, settled_end(file))
    finally:
        os.close(descriptor)


def settled_end(file: IO[bytes]) -> int:
    """Find where the last whole append ends."""
    drop, end = -1, 0
    for start, line in _last_lines(file):
        if drop < 0:
            drop, end = rows_to_drop(line), start + len(line)
        if drop == 0:
            break
        drop, end = drop - 1, start
    return end


def line_count(path: Path) -> int:
    """Count the lines of a file without reading what they say. Raises StoreError."""
    with as_store_error(f"{path} cannot be read"), open_regular(path) as file:
        return sum(piece.count(b"\n") for piece in iter(partial(file.read, 1 << 20), b""))


def decoded_lines(
    path: Path, decode: Callable[[bytes], T], problems: list[str], *, settled: bool, skipped: int = 0
) -> Iterator[T]:
    """Read each line through `decode`, whose ValueError becomes a sentence in `problems`.

    settled: only up to settled_end(). skipped: lines at the beginning that are
    something else. Raises StoreError.
    """
    with as_store_error(f"{path} cannot be read"), open_regular(path) as file:
        end = settled_end(file) if settled else sys.maxsize
        numbered = islice(enumerate(_lines(file, end), start=1), skipped, None)
        yield from decode_each(path, numbered, decode, problems)


def decoded_together(
    path: Path,
    decode_all: Callable[[Sequence[bytes]], Sequence[T] | None],
    decode: Callable[[bytes], T],
    problems: list[str],
    *,
    settled: bool,
) -> Iterator[Sequence[T]]:
    """Read lines as decoded_lines() does, many at once.

    decode_all: of these lines; None sends each of them through `decode`, which says what is wrong.
    """
    with as_store_error(f"{path} cannot be read"), open_regular(path) as file:
        damage = _Damage(path, problems)
        numbered = enumerate(_lines(file, settled_end(file) if settled else sys.maxsize), start=1)
        while chunk := _together(numbered):
            lines = [line for _, line in chunk]
            values = decode_all(lines) if max(map(len, lines)) <= LONGEST_LINE else None
            if values is None:
                values = list(damage.left_out(chunk, decode))
            yield values
        damage.end()


def decode_each(
    path: Path, numbered: Iterable[tuple[int, bytes]], decode: Callable[[bytes], T], problems: list[str]
) -> Iterator[T]:
    """Decode lines of the file at `path`, each with its number, as decoded_lines() does."""
    damage = _Damage(path, problems)
    yield from damage.left_out(numbered, decode)
    damage.end()


class _Damage:
    """Damaged lines of one file: the first ones are named, the rest are counted."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        self._path, self._problems, self._lines = path, problems, 0

    def left_out(self, numbered: Iterable[tuple[int, bytes]], decode: Callable[[bytes], T]) -> Iterator[T]:
        """Decode all other lines."""
        for number, line in numbered:
            try:
                if len(line) > LONGEST_LINE:
                    raise ValueError(f"it has more than {LONGEST_LINE:,} bytes")
                value = decode(line)
            except ValueError as error:
                self._lines += 1
                if self._lines <= _NAMED:
                    self._problems.append(f"{self._path}, line {number}, is damaged and left out: {error}.")
                continue
            yield value

    def end(self) -> None:
        if self._lines > _NAMED:
            self._problems.append(f"{self._path} has {self._lines - _NAMED} more damaged lines.")


def _together(numbered: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Take a hundred lines of usual length, or a single one of the longest."""
    chunk, size = [], 0
    for number, line in numbered:
        chunk.append((number, line))
        size += len(line)
        if size >= _AT_ONCE:
            break
    return chunk


def _lines(file: IO[bytes], end: int) -> Iterator[bytes]:
    """Read the lines up to `end`; one longer than any that is written comes in pieces of such a length."""
    at = 0
    while (line := file.readline(LONGEST_LINE + 1)) and (at := at + len(line)) <= end:
        yield line


def _open_to_append(path: Path) -> int:
    """Open a descriptor that is read anywhere and written at the end; the file is made when it is missing."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | flag("O_NOFOLLOW") | flag("O_BINARY")
    return os.open(path, flags, 0o666)


def _write_whole(descriptor: int, data: bytes) -> None:
    """Write all bytes, in one call unless the system takes fewer; on any failure cut the file back.

    Raises OSError; TornWrite when the file could not be cut back either.
    """
    before = os.fstat(descriptor).st_size
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
    except BaseException as error:
        try:
            os.ftruncate(descriptor, before)
        except OSError:
            reason = error.strerror if isinstance(error, OSError) else None
            raise TornWrite(0, reason or "it was interrupted") from error
        raise


def _last_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the whole lines of a file from the last to the first, each with the offset of its beginning.

    What follows the last line end is skipped.
    """
    if os.fstat(file.fileno()).st_size == 0:
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = data.rfind(b"\n") + 1
        while end > 0:
            start = data.rfind(b"\n", 0, end - 1) + 1
            yield start, data[start:end]
            end = start
