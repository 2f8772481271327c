"""Examples in files: TSV (domain, source, reference) and JSONL, plain, .xz or .zst.

A TSV of other columns begins with a line of their names, and the columns to
read are named; cells are never quoted. Wrong lines are reported by file and number.
"""

import codecs
import io
import json
import lzma
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from hybrid.errors import SuiteError
from hybrid.schema import Example, Suite
from hybrid.suites.catalog import required_task
from hybrid.suites.rows import RowError, check_columns, checked, to_example

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from zstandard import ZstdDecompressionObj, ZstdDecompressor

MAX_LINE_BYTES = 1_000_000
LICENCE = "not stated"

Columns = Mapping[str, str] | None
_Parse = Callable[[str, int], Example | None]  # line and its number; None for the line of names


def load(address: str, task: str | None, columns: Columns) -> Suite:
    """Load the suite `file:PATH`. Raises SuiteError."""
    if not address:
        raise SuiteError("file: names no file; write file:PATH.")
    chosen = required_task(f"file:{address}", task)
    path = Path(address).expanduser()
    return Suite(f"file:{address}", chosen, LICENCE, load_examples(path, columns))


def load_examples(path: Path, columns: Columns = None) -> tuple[Example, ...]:
    """All examples of a file, checked to be a suite. Raises SuiteError."""
    placed = ((f"{path}, line {number}", example) for number, example in _numbered(path, columns))
    return checked(placed, str(path))


def read_examples(path: Path, columns: Columns = None) -> Iterator[Example]:
    """Read the examples of a file, in order, one at a time; their texts may be empty. Raises SuiteError.

    columns: role to column name, see `rows.to_example`.
    """
    return (example for _, example in _numbered(path, columns))


def _numbered(path: Path, columns: Columns) -> Iterator[tuple[int, Example]]:
    check_columns(columns)
    try:
        _check_file(path)
        parse = _parser(path, columns)
        with open_unpacked(path) as lines:
            for number, line in _lines(path, lines):
                try:
                    example = parse(line, number)
                except RowError as error:
                    raise SuiteError(f"{path}, line {number}: {error}.") from error
                if example is not None:
                    yield number, example
    except damages(path) as error:
        raise SuiteError(f"{path} cannot be unpacked: {error}. Fetch or pack it again.") from error
    except OSError as error:
        raise SuiteError(f"{path} cannot be read: {error.strerror or error}.") from error


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise SuiteError(f"{path} is a folder; name a file in it.")
    if not path.is_file():
        raise SuiteError(f"There is no file {path}.")


def _lines(path: Path, stream: IO[bytes]) -> Iterator[tuple[int, str]]:
    """Numbered lines, never held beyond the limit; decoded one by one, so that a wrong one has a number."""
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number == 1:
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise SuiteError(f"{path} is UTF-16 text; save it as UTF-8.")
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > MAX_LINE_BYTES:
            raise SuiteError(
                f"{path}, line {number}, is longer than {MAX_LINE_BYTES:,} bytes; "
                "write one example of that size at most on a line."
            )
        try:
            yield number, line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise SuiteError(
                f"{path}, line {number}, is not UTF-8 text (byte 0x{line[error.start]:02X} "
                f"at position {error.start + 1}); save the file as UTF-8."
            ) from error


def _parser(path: Path, columns: Columns) -> _Parse:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in packings():
        suffixes.pop()
    kind = suffixes[-1] if suffixes else ""
    if kind not in _PARSERS:
        raise SuiteError(
            f"{path} is of no known format; a suite's file ends with {' or '.join(_PARSERS)}, "
            f"and behind that {' or '.join(packings())} when it is packed."
        )
    return _PARSERS[kind](columns)


def _json_parser(columns: Columns) -> _Parse:
    def parse(line: str, number: int) -> Example:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = "empty" if not line.strip() else f"not JSON ({error})"
            raise RowError(f"the line is {reason}") from error
        if not isinstance(row, dict):
            raise RowError("the line is no JSON object; write one {...} a line")
        return to_example(row, columns, str(number))

    return parse


def _tsv_parser(columns: Columns) -> _Parse:
    return _plain_tsv if columns is None else _TsvWithNames(columns)


def _plain_tsv(line: str, number: int) -> Example:
    cells = line.rstrip("\r\n").split("\t")
    if len(cells) != 3:
        raise RowError(
            f"{_count(cells)} instead of 3 (domain, source, reference, with tabs between); "
            "for a file that begins with the names of its columns, say which to read"
        )
    domain, source, reference = cells
    return Example(str(number), domain, source, (reference,))


class _TsvWithNames:
    """Reads the first line as the names of the columns, the others by them."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns = columns
        self._names: list[str] = []

    def __call__(self, line: str, number: int) -> Example | None:
        cells = line.rstrip("\r\n").split("\t")
        if not self._names:
            self._names = [cell.strip() for cell in cells]
            if len(set(self._names)) < len(cells):
                raise RowError("two columns have the same name; rename one")
            # A row of anything: a column that is missing is missing here, not in the next line.
            to_example(dict.fromkeys(self._names, "-"), self._columns, str(number))
            return None
        if len(cells) != len(self._names):
            raise RowError(f"{_count(cells)}, but {len(self._names)} are named in line 1")
        return to_example(dict(zip(self._names, cells, strict=True)), self._columns, str(number))


def _count(cells: list[str]) -> str:
    if cells == [""]:
        return "the line is empty and has no columns"
    return f"the line has {len(cells)} column" + "s" * (len(cells) != 1)


_PARSERS: Mapping[str, Callable[[Columns], _Parse]] = {
    ".tsv": _tsv_parser,
    ".jsonl": _json_parser,
    ".ndjson": _json_parser,
}


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
