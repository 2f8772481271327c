"""Examples in files: TSV (tag, source, target) and JSONL (source, document, summary or summaries).

Plain, .xz or .zst. Wrong lines are reported by file and number.
"""

import io
import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hybrid.errors import InputError


@dataclass(frozen=True)
class Example:
    """One text, what is known to answer it, and where it comes from.

    tag: the corpus within the file. references: at least one.
    """

    tag: str
    source: str
    references: tuple[str, ...]


def read_examples(path: Path) -> Iterator[Example]:
    """The examples of a file, in order. Raises InputError naming the line that cannot be read."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    parse = _from_json if ".jsonl" in path.suffixes else _from_tsv
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    example = parse(line.decode("utf-8"))
                except (ValueError, LookupError, TypeError) as error:
                    raise InputError(f"{path}, line {number}, is not an example: {error!r}.") from error
                yield example
    except _damages(path) as error:
        raise InputError(f"{path} cannot be unpacked: {error}.") from error


def _from_tsv(line: str) -> Example:
    tag, source, target = line.rstrip("\r\n").split("\t")
    return Example(tag, source, (target,))


def _from_json(line: str) -> Example:
    row = json.loads(line)
    references = [row["summary"]] if "summary" in row else row["summaries"]
    if not isinstance(references, list) or not references:
        raise ValueError("no summary")
    if not all(isinstance(text, str) for text in (row["source"], row["document"], *references)):
        raise TypeError("source, document and summary must be strings")
    return Example(row["source"], row["document"], tuple(references))


def _open(path: Path) -> IO[bytes]:
    """The unpacked bytes; lines are decoded one by one, so that a wrong one has a number."""
    if path.suffix == ".xz":
        return lzma.open(path, "rb")
    if path.suffix == ".zst":
        try:
            import zstandard
        except ImportError as error:
            raise InputError(
                f"{path.name} needs the package zstandard: pip install 'hybrid-bench[train]'."
            ) from error
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(path.open("rb"), closefd=True))
    return path.open("rb")


def _damages(path: Path) -> tuple[type[Exception], ...]:
    """What a damaged packed file raises while it is read."""
    if path.suffix != ".zst":
        return EOFError, lzma.LZMAError
    import zstandard

    return (zstandard.ZstdError,)
