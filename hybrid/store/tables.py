"""CSV that opens cleanly in a spreadsheet and comes back unharmed.

A spreadsheet runs a cell that begins like a formula. Following OWASP's "CSV
Injection" page such texts get a leading apostrophe; numbers are left alone, so
that -0.5 stays a number. original() takes the apostrophe off again.
"""

import codecs
import csv
import io
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hybrid.errors import StoreError
from hybrid.store.files import open_atomic

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """Rows behind a figure. columns: name, unit included, and meaning of each."""

    columns: Mapping[str, str]
    rows: Sequence[Sequence[Cell]]

    def csv(self) -> bytes:
        """As write_csv() writes it."""
        file = io.BytesIO()
        write_csv(file, list(self.columns), self.rows)
        return file.getvalue()


# OWASP's list, the full-width forms that some spreadsheets take for the same included.
# Apostrophes before one of them count too: else original() could not tell ours from theirs.
_RISKY = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")

# A file that is open already, as a shell's >(command) is handed over.
_DESCRIPTOR = re.compile(r"/dev/(stdout|stderr)|/(?:dev|proc/self)/fd/(\d{1,6})")


def write_csv(
    file: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Cell]], bom: bool = False
) -> int:
    """Write a header and rows as they come (UTF-8, RFC 4180), and return how many rows.

    None becomes an empty cell, a truth value true or false. bom: begin with
    the byte order mark by which older spreadsheets know UTF-8. Raises
    ValueError for a row of another length than `columns`.
    """
    if bom:
        file.write(codecs.BOM_UTF8)
    writer = csv.writer(_Encoded(file))
    writer.writerow(columns)
    count = 0
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row has {len(row)} cells and there are {len(columns)} columns")
        writer.writerow([_shown(cell) for cell in row])
        count += 1
    return count


def safe(text: str) -> str:
    """`text`, with an apostrophe before it when a spreadsheet would take it for a formula."""
    return f"'{text}" if _RISKY.match(text) else text


def original(cell: str) -> str:
    """Return the text that safe() was given."""
    return cell[1:] if cell.startswith("'") and _RISKY.match(cell) else cell


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to write that becomes `path` when the block ends well, and vanishes when it does not.

    What is there and is no regular file, such as /dev/stdout or a pipe, is
    written directly. Raises StoreError when it cannot be written, and
    BrokenPipeError when whoever reads it has enough.
    """
    try:
        with _opened(path) as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from error


def _opened(path: Path) -> AbstractContextManager[IO[bytes]]:
    """Open a file to write. Raises OSError."""
    if match := _DESCRIPTOR.fullmatch(str(path)):  # opened anew, a file that stands there would be emptied
        number = {"stdout": 1, "stderr": 2}.get(match[1]) or int(match[2])
        return os.fdopen(os.dup(number), "wb")
    try:
        kind = path.stat().st_mode  # through links; OSError for one to itself
    except FileNotFoundError:
        kind = stat.S_IFREG
    return open_atomic(path.resolve()) if stat.S_ISREG(kind) else path.open("wb")


@dataclass(frozen=True)
class _Encoded:
    """What csv.writer writes to."""

    file: IO[bytes]

    def write(self, text: str) -> int:
        # half a surrogate pair has no UTF-8: it is written as \udc80 or the like
        return self.file.write(text.encode("utf-8", "backslashreplace"))


def _shown(cell: Cell) -> str | int | float | None:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return safe(cell) if isinstance(cell, str) else cell
