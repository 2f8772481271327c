"""Examples in files: tables, and plain files side by side, as they are or packed (.xz, .zst).

Whatever is wrong in one is said with the file and the number of its line.
"""

import io
import lzma
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from hybrid.errors import SuiteError
from hybrid.schema import Example, Suite
from hybrid.suites import required_task
from hybrid.suites.rows import DEFAULT_DOMAIN, RowError, check_columns, checked, to_example
from hybrid.suites.tables import DELIMITER, KINDS, plain_texts, read_rows, text_lines

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from zstandard import ZstdDecompressionObj, ZstdDecompressor

LICENCE = "not stated"
LARGEST = 64 * 2**20  # characters of a suite

Columns = Mapping[str, str] | None
Placed = Iterator[tuple[str, Example]]  # "FILE, line 3", and what is there


def load(address: str, task: str | None, columns: Columns) -> Suite:
    """Load the suite `file:PATH` or `file:SOURCES,REFERENCES`, named without folders. Raises SuiteError."""
    if not address:
        raise SuiteError("file: names no file; write file:PATH.")
    name, examples = f"file:{file_name(address)}", load_examples(address, columns)
    return Suite(name, required_task(name, task), LICENCE, examples)


def file_name(address: str | Path) -> str:
    """Write the name of a file, or of several side by side, without folders."""
    return ",".join(path.name for path in files_of(str(address)))


def load_examples(
    address: str | Path, columns: Columns = None, limit: int | None = None
) -> tuple[Example, ...]:
    """Read the examples of a file, or the first `limit`, checked to be a suite. Raises SuiteError."""
    placed = _bounded(_placed(address, columns), str(address))
    return checked(islice(placed, limit), str(address))


def read_examples(address: str | Path, columns: Columns = None) -> Iterator[Example]:
    """Read the examples of a file, in order, one at a time; their texts may be empty. Raises SuiteError.

    address: one file, or several of a text a line, `SOURCES,REFERENCES`, more references behind further
    commas. columns: role to column name or number, see `tables.read_rows`.
    """
    return (example for _, example in _placed(address, columns))


def _placed(address: str | Path, columns: Columns) -> Placed:
    check_columns({role: name for role, name in (columns or {}).items() if role != DELIMITER})
    paths = files_of(str(address))
    return _of_table(paths[0], columns) if len(paths) == 1 else _side_by_side(paths, columns)


def files_of(address: str, folder: Path = Path()) -> list[Path]:
    """Name one file where there is one of that name, commas and all; else those between the commas.

    folder: where names begin that are no whole paths. A first part of ~ is the home
    folder; a name that only begins with ~ is a name. Raises SuiteError where there is no home.
    """
    parts = address.split(",")
    if len(parts) == 1 or not all(parts) or _exists(folder / _expanded(address)):
        parts = [address]
    return [folder / _expanded(part) for part in parts]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # as for a name that is longer than any file's
        return False


def _expanded(name: str) -> Path:
    path = Path(name)
    try:
        return path.expanduser() if path.parts[:1] == ("~",) else path
    except RuntimeError as error:
        raise SuiteError(f"{name}: this user has no home folder; write the whole path.") from error


def _bounded(placed: Placed, name: str) -> Placed:
    """Refuse a suite, which is held in memory, beyond LARGEST characters."""
    size = 0
    for place, example in placed:
        size += len(example.source) + sum(map(len, example.references))
        if size > LARGEST:
            raise SuiteError(f"{name} has more than {LARGEST:,} characters; take a part of it.")
        yield place, example


def _of_table(path: Path, columns: Columns) -> Placed:
    with _explained(path):
        kind = _kind(path)
        if kind not in KINDS:
            raise SuiteError(
                f"{path} is of no known format; a table's file ends with {' or '.join(KINDS)}, and behind "
                f"that {' or '.join(packings())} when it is packed; files of a text a line are named "
                "together: SOURCES,REFERENCES."
            )
        own = {role: name for role, name in (columns or {}).items() if role != DELIMITER}
        with open_unpacked(path) as stream:
            for number, row in read_rows(str(path), text_lines(str(path), stream), kind, columns):
                place = f"{path}, line {number}"
                try:
                    yield place, to_example(row, own, str(number))
                except RowError as error:
                    raise SuiteError(f"{place}: {error}.") from error


def _side_by_side(paths: Sequence[Path], columns: Columns) -> Placed:
    """Line n of the first file is the source, line n of each other one a reference."""
    if columns:
        raise SuiteError(f"{paths[0]} and {paths[1]} are read side by side and have no columns to name.")
    for number, row in enumerate(zip_longest(*map(_texts, paths)), 1):
        texts = [text for text in row if text is not None]
        if len(texts) < len(paths):
            ended = paths[row.index(None)]
            raise SuiteError(
                f"{ended} ends before line {number}, where another file goes on; line n of one belongs to "
                "line n of the other."
            )
        if any(text.strip() for text in texts):
            yield (
                f"{paths[0]}, line {number}",
                Example(str(number), DEFAULT_DOMAIN, texts[0], tuple(texts[1:])),
            )


def _texts(path: Path) -> Iterator[str]:
    with _explained(path):
        if _kind(path) in KINDS:
            raise SuiteError(f"{path} is a table; files side by side have a text a line and nothing else.")
        with open_unpacked(path) as stream:
            for _, text in plain_texts(text_lines(str(path), stream)):
                yield text


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what may go wrong with a file while the block reads it."""
    try:
        if path.is_dir():
            raise SuiteError(f"{path} is a folder; name a file in it.")
        if not path.is_file():
            where = (
                "; name it with its folders, or work in the one where it lies"
                if path == Path(path.name)
                else ""
            )
            raise SuiteError(f"There is no file {path}{where}.")
        yield
    except damages(path) as error:
        raise SuiteError(f"{path} cannot be unpacked: {error}. Fetch or pack it again.") from error
    except OSError as error:
        raise SuiteError(f"{path} cannot be read: {error.strerror or error}.") from error


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in packings():
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file to read its unpacked bytes; reading raises `damages()`.

    Raises OSError, and SuiteError without the package that unpacks.
    """
    return _OPENERS.get(path.suffix.lower(), _open_plain)(path)


def packings() -> tuple[str, ...]:
    """List the suffixes of packed files."""
    return tuple(_OPENERS)


def damages(path: Path) -> tuple[type[Exception], ...]:
    """Name what a damaged packed file raises while it is read."""
    if path.suffix.lower() != ".zst":
        return EOFError, lzma.LZMAError
    try:
        import zstandard
    except ImportError:  # then nothing of it was read
        return (EOFError,)
    return EOFError, zstandard.ZstdError


def _open_plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _open_xz(path: Path) -> IO[bytes]:
    return lzma.open(path, "rb")


def _open_zst(path: Path) -> IO[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise SuiteError(
            f"{path.name} needs the package zstandard: pip install 'hybrid-bench[train]'."
        ) from error
    return io.BufferedReader(_ZstdFrames(path.open("rb"), zstandard.ZstdDecompressor()))


_OPENERS: Mapping[str, Callable[[Path], IO[bytes]]] = {".xz": _open_xz, ".zst": _open_zst}


class _ZstdFrames(io.RawIOBase):
    """All frames of a .zst file as one stream; a file that ends within one raises EOFError.

    zstandard's own stream_reader takes a cut file for a whole one, and would
    serve a part of a suite as if it were all of it.
    """

    # A block header of 4 bytes can stand for 128 KiB, so this bounds one step at 8 MiB.
    _CHUNK_BYTES = 256

    def __init__(self, file: BinaryIO, unpacker: "ZstdDecompressor") -> None:
        self._file, self._unpacker = file, unpacker
        self._parts = self._unpack()
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        target = memoryview(buffer)
        while not self._ready:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._ready = memoryview(part)
        size = min(len(target), len(self._ready))
        target[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()

    def _unpack(self) -> Iterator[bytes]:
        frame: ZstdDecompressionObj | None = None
        while packed := self._file.read(self._CHUNK_BYTES):
            while packed:
                frame = frame or self._unpacker.decompressobj()
                yield frame.decompress(packed)
                packed = frame.unused_data if frame.eof else b""
                frame = None if frame.eof else frame
        if frame is not None:
            raise EOFError("the file ends before its last frame does")
