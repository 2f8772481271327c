"""Prompts in an uploaded file: a line each, or a column `source` and, if there is one, `reference`.

    .txt           a prompt a line
    .csv, .tsv     the first line names the columns
    .jsonl         an object a line

`hybrid.suites` reads the same columns, but from files on the machine's own disk, and not without references.
"""

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from hybrid.errors import InputError
from hybrid.format import printable

MOST = 100  # prompts: more belong into a benchmark
MOST_BYTES = 1_000_000
LONGEST = 20_000  # characters of a text; a pair reads a few thousand
SOURCES = ("source", "document", "prompt")
REFERENCES = ("reference", "references", "summary")


@dataclass(frozen=True)
class PromptRow:
    """One prompt of a file. reference: empty when there is none."""

    text: str
    reference: str = ""


def read_prompts(name: str, data: bytes) -> tuple[PromptRow, ...]:
    """Give the prompts of a file in their order; empty lines are passed over.

    name: of the file; its ending says how to read it. Raises InputError, naming
    the line, for what cannot be read, too much of it, and nothing at all.
    """
    kind = PurePath(name).suffix.lower()
    if kind not in _READERS:
        raise InputError(f"{printable(name)} is none of {', '.join(_READERS)}; save it as one of them.")
    if len(data) > MOST_BYTES:
        raise InputError(f"{printable(name)} has {len(data):,} bytes; {MOST_BYTES:,} are read at the most.")
    found: list[PromptRow] = []
    for number, prompt in _READERS[kind](_text(name, data)):
        if not prompt.text.strip():
            continue
        for text in (prompt.text, prompt.reference):
            if len(text) > LONGEST:
                raise InputError(
                    f"{printable(name)}, line {number}: a text has {len(text):,} characters; "
                    f"write {LONGEST:,} at the most."
                )
        found.append(prompt)
        if len(found) > MOST:
            raise InputError(
                f"{printable(name)} has more than {MOST} prompts; take a part of it here, "
                "or measure all of it on the Benchmark page."
            )
    if not found:
        raise InputError(f"{printable(name)} holds no prompt.")
    return tuple(found)


def _text(name: str, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{printable(name)} is UTF-16 text; save it as UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{printable(name)}, line {line}, is not UTF-8 text (byte 0x{data[error.start]:02X}); "
            "save the file as UTF-8."
        ) from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines; only line feeds end them, as in any editor."""
    for number, line in enumerate(text.split("\n"), 1):
        yield number, line.removesuffix("\r")


def _plain(text: str) -> Iterator[tuple[int, PromptRow]]:
    for number, line in _lines(text):
        yield number, PromptRow(line)


def _tsv(text: str) -> Iterator[tuple[int, PromptRow]]:
    """Cells are never quoted, as in the TSV files of `hybrid.suites`."""
    return _named((number, line.split("\t")) for number, line in _lines(text) if line.strip())


def _csv(text: str) -> Iterator[tuple[int, PromptRow]]:
    rows = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        yield from _named((rows.line_num, cells) for cells in rows if cells)
    except csv.Error as error:
        raise InputError(f"Line {rows.line_num} of the file is not CSV: {error}.") from error


def _named(rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, PromptRow]]:
    """Rows of cells, the names of the columns first."""
    _, names = next(rows, (0, []))
    names = [name.strip().lower() for name in names]
    if not set(names) & set(SOURCES):
        listed = ", ".join(printable(name, 20) for name in names[:10]) or "nothing"
        raise InputError(
            f"The first line of the file must name the columns, and one of them must be {SOURCES[0]}; "
            f"it names {listed}."
        )
    for number, cells in rows:
        if len(cells) != len(names):
            raise InputError(f"Line {number} of the file has {len(cells)} cells, and {len(names)} are named.")
        yield number, _prompt_row(dict(zip(names, cells, strict=True)))


def _jsonl(text: str) -> Iterator[tuple[int, PromptRow]]:
    for number, line in _lines(text):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"Line {number} of the file is not JSON; write one object {{...}} a line."
            ) from error
        if not isinstance(row, dict) or not set(row) & set(SOURCES):
            raise InputError(f"Line {number} of the file is no JSON object with a {SOURCES[0]}.")
        prompt = _prompt_row(row)
        if not prompt.text:
            raise InputError(f"Line {number} of the file: the {SOURCES[0]} is empty or no text.")
        yield number, prompt


def _prompt_row(row: Mapping[str, object]) -> PromptRow:
    return PromptRow(_first(row, SOURCES), _first(row, REFERENCES))


def _first(row: Mapping[str, object], names: tuple[str, ...]) -> str:
    """Give the text under the first of the names that is there, the first text of a list."""
    value = next((row[name] for name in names if name in row), "")
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""


_READERS: Mapping[str, Callable[[str], Iterator[tuple[int, PromptRow]]]] = {
    ".txt": _plain,
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
}
FORMATS = tuple(_READERS)
