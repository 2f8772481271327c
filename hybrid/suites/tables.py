"""Tables of texts as people have them; every command and page reads them here.

    .tsv              tabs between the cells, which stand as they are: quotation marks are text
    .csv              commas, semicolons or tabs between them, quotation marks around them (RFC 4180)
    .jsonl .ndjson    an object a line
    .txt              a text a line

A line ends with LF, CR LF or CR, and blank lines are passed over. A first line
that says which column is the source and which the reference is a header.
Without one, two columns are source and reference, three are domain, source and
reference, and `columns` may number them. What could be read in two ways is
refused with a sentence that says how to say it.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import IO

from hybrid.errors import SuiteError
from hybrid.format import printable
from hybrid.suites.rows import REFERENCES, ROLES, SOURCES, SUMMARIES, Row, RowError, own_names, to_example

LONGEST_LINE = 1_000_000  # characters
KINDS = (".tsv", ".csv", ".jsonl", ".ndjson")
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t"}
DELIMITER = "delimiter"  # beside the roles in `columns`: one of DELIMITERS, for a .csv
# Without a header, by the number of columns.
_LAYOUTS = {1: ("source",), 2: ("source", "reference"), 3: ("domain", "source", "reference")}
_ROLE_NAMES = frozenset((*ROLES, *SOURCES, *REFERENCES, *SUMMARIES))
# What else heads a column so often that a first line of nothing else is hardly a pair of texts.
_LIKELY_NAMES = frozenset(
    ("src", "ref", "tgt", "text", "translation", "en", "de", "english", "german", "input", "output", "answer")
)
_SAMPLE = 100  # lines, to see what parts the columns of a .csv
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what errors="surrogateescape" makes of a byte
Lines = Iterator[tuple[int, str]]  # with their numbers, from 1, and their ends

csv.field_size_limit(LONGEST_LINE)  # of the whole process; its own would refuse what a line may hold


def text_lines(name: str, stream: IO[bytes]) -> Lines:
    """Read lines one by one, none held beyond LONGEST_LINE. name: of the file. Raises SuiteError."""
    with io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="") as text:
        lines = iter(lambda: text.readline(LONGEST_LINE + 1), "")
        for number, line in enumerate(lines, 1):
            if number == 1 and line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
                raise SuiteError(f"{name} is UTF-16 text; save it as UTF-8.")
            if len(line) > LONGEST_LINE:
                raise SuiteError(
                    f"{name}, line {number}, is longer than {LONGEST_LINE:,} characters; "
                    "write one example of that size at most on a line."
                )
            if byte := _NOT_UTF8.search(line):
                raise SuiteError(
                    f"{name}, line {number}, is not UTF-8 text (byte 0x{ord(byte[0]) - 0xDC00:02X} "
                    f"at position {byte.start() + 1}); save the file as UTF-8."
                )
            yield number, line


def read_rows(
    name: str, lines: Lines, kind: str, columns: Mapping[str, str] | None = None, prompts: bool = False
) -> Iterator[tuple[int, Row]]:
    """Read rows by the names of their columns, each with the number of its line.

    kind: of KINDS, or .txt, which has no reference. columns: see
    rows.to_example(); also numbers, from 1, of columns without names, and
    DELIMITER. prompts: rows need no reference. Raises SuiteError.
    """
    by_role = dict(columns or {})
    delimiter = by_role.pop(DELIMITER, None)
    number = 0
    try:
        if delimiter is not None and (kind != ".csv" or delimiter not in DELIMITERS):
            raise RowError(f"{DELIMITER} says what parts the columns of a .csv: {', '.join(DELIMITERS)}")
        if kind == ".txt":
            rows: Iterator[tuple[int, Row]] = ((n, {"source": text}) for n, text in plain_texts(lines))
        elif kind in (".jsonl", ".ndjson"):
            rows = _objects(lines)
        elif kind == ".csv":
            rows = _named(_csv(lines, by_role, delimiter, prompts), by_role, prompts)
        else:
            rows = _named(_cells(lines, "\t", csv.QUOTE_NONE), by_role, prompts)
        for number, row in rows:
            yield number, row
    except RowError as error:
        place = error.line or number + 1
        raise SuiteError(f"{name}, line {place}: {error}.") from error


def plain_texts(lines: Lines) -> Lines:
    """Texts of a line each, without their ends; blank ones are empty, and at the end of the file none."""
    last = 0
    for number, line in lines:
        if line.strip():
            for blank in range(last + 1, number):
                yield blank, ""
            yield number, line.rstrip("\r\n")
            last = number


def _objects(lines: Lines) -> Iterator[tuple[int, Row]]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_unique)
        except RowError as error:
            raise RowError(str(error), number) from error
        except (ValueError, RecursionError) as error:
            raise RowError(f"the line is not JSON ({error})", number) from error
        if not isinstance(row, dict):
            raise RowError("the line is no JSON object; write one {...} a line", number)
        yield number, row


def _unique(pairs: Iterable[tuple[str, object]]) -> Row:
    row: dict[str, object] = {}
    for name, value in pairs:
        if name in row:
            raise RowError(_twice(name))
        row[name] = value
    return row


def _cells(lines: Lines, delimiter: str, quoting: int) -> Iterator[tuple[int, list[str]]]:
    """Cells of each row, with the number of its first line: a quoted cell may hold line ends."""
    rows = csv.reader(
        (line for _, line in lines), delimiter=delimiter, quoting=quoting, strict=True,  # type: ignore[arg-type]
        skipinitialspace=quoting != csv.QUOTE_NONE,
    )  # fmt: skip
    number = 1
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells):
                yield number, cells
            number = rows.line_num + 1
    except csv.Error as error:
        raise RowError(f"it is not CSV: {error}", max(rows.line_num, 1)) from error


def _csv(
    lines: Lines, columns: Mapping[str, str], delimiter: str | None, prompts: bool
) -> Iterator[tuple[int, list[str]]]:
    if delimiter is None:
        sample = list(_beginning(lines))
        delimiter = _likely_delimiter(sample, columns, prompts)
        lines = chain(sample, lines)
    return _cells(lines, DELIMITERS[delimiter], csv.QUOTE_MINIMAL)


def _beginning(lines: Lines) -> Lines:
    size = 0
    for number, line in islice(lines, _SAMPLE):
        yield number, line
        size += len(line)
        if size > LONGEST_LINE:
            return


def _likely_delimiter(sample: Sequence[tuple[int, str]], columns: Mapping[str, str], prompts: bool) -> str:
    """Choose what makes a header of the first line, or else as many columns of each. Raises RowError."""
    tables = {name: _rows_of(sample, sign) for name, sign in DELIMITERS.items()}
    heads = [n for n, rows in tables.items() if rows and _says_all(rows[0], columns, prompts)]
    if len(heads) == 1:
        return heads[0]
    widths = {name: {len(row) for row in rows} for name, rows in tables.items()}
    several = [name for name, seen in widths.items() if seen and max(seen) > 1]
    even = [name for name in several if len(widths[name]) == 1]
    choice = even if len(even) == 1 else several
    if len(choice) > 1:
        raise RowError(
            f"its columns could be parted by {' or '.join(choice)}; say {DELIMITER}={choice[0]} "
            f"(--columns), or name the columns in the first line: source, reference",
            1,
        )
    return choice[0] if choice else "comma"


def _rows_of(sample: Iterable[tuple[int, str]], delimiter: str) -> list[list[str]]:
    """As many rows as can be read; the sample may end within one."""
    rows: list[list[str]] = []
    with suppress(RowError):
        rows.extend(cells for _, cells in _cells(iter(sample), delimiter, csv.QUOTE_MINIMAL))
    return rows


def _named(
    rows: Iterator[tuple[int, list[str]]], columns: Mapping[str, str], prompts: bool
) -> Iterator[tuple[int, Row]]:
    """Rows of cells, by the names that the first of them says, or that its columns have without any."""
    head, first = next(rows, (0, []))
    if not first:
        return
    header = (columns and not _are_numbers(columns)) or _says_all(first, columns, prompts)
    names = _header(first, columns, head) if header else _layout(first, columns, prompts, head)
    for number, cells in rows if header else chain([(head, first)], rows):
        if len(cells) != len(names):
            raise RowError(f"the line has {_count(cells)} and the first one {len(names)}", number)
        yield number, dict(zip(names, cells, strict=True))


def _says_all(first: Sequence[str], columns: Mapping[str, str], prompts: bool) -> bool:
    """Tell whether the first line names the columns that are asked for, or else source and reference."""
    stated = [cell.strip() for cell in first]
    if columns:
        return set(columns.values()) <= set(stated)
    names = dict.fromkeys(cell.casefold() for cell in stated)
    own = own_names(names)
    return own["source"] in names and (prompts or own["reference"] in names)


def _header(first: Sequence[str], columns: Mapping[str, str], number: int) -> list[str]:
    names = [cell.strip() if columns else cell.strip().casefold() for cell in first]
    for name in names:
        if name and names.count(name) > 1:
            raise RowError(_twice(name), number)
    # A row of anything: a column that is missing is missing here, not in the next line.
    if columns:
        try:
            to_example(dict.fromkeys(names, "-"), columns, "")
        except RowError as error:
            raise RowError(str(error), number) from error
    return names


def _layout(first: Sequence[str], columns: Mapping[str, str], prompts: bool, number: int) -> Sequence[str]:
    """Name the columns of a table without a header."""
    width = len(first)
    if columns:  # by numbers
        return [str(place) for place in range(1, width + 1)]
    names = [cell.strip().casefold() for cell in first]
    roles = [name for name in names if name in _ROLE_NAMES]
    for name in roles:
        if names.count(name) > 1:
            raise RowError(_twice(name), number)
    how = "name them in the first line: source, reference"
    if not prompts:
        how += "; or say which to read (--columns): source=NAME,reference=NAME, or source=1,reference=2"
    likely = [name for name in names if name in _ROLE_NAMES | _LIKELY_NAMES]
    if len(likely) > 1 or {"source", "reference"} & set(roles):
        heading = printable(", ".join(first))
        raise RowError(f"{heading} could be texts or names of columns; {how}", number)
    if width not in _LAYOUTS or (width == 1 and not prompts):
        kinds = "2 (source, reference) or 3 (domain, source, reference)"
        raise RowError(f"the line has {_count(first)} instead of {kinds}; {how}", number)
    return _LAYOUTS[width]


def _are_numbers(columns: Mapping[str, str]) -> bool:
    return all(name.isascii() and name.isdecimal() for name in columns.values())


def _count(cells: Sequence[str]) -> str:
    return f"{len(cells)} column" + "s" * (len(cells) != 1)


def _twice(name: str) -> str:
    return f"two columns are named {name!r}; rename one"
