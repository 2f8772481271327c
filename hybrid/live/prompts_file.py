"""Prompts in an uploaded file, read as hybrid.suites.tables reads any table; references may be missing.

.txt holds a prompt a line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath

from hybrid.errors import InputError, SuiteError
from hybrid.format import printable
from hybrid.schema import Example
from hybrid.schema.texts import normalized
from hybrid.suites import rows
from hybrid.suites.rows import Row, RowError, to_prompt
from hybrid.suites.tables import KINDS, read_rows, text_lines

MOST = 100  # prompts: more belong into a benchmark
MOST_BYTES = 1_000_000
LONGEST = 20_000  # characters of a text; a pair reads a few thousand
FORMATS = (".txt", *KINDS)


@dataclass(frozen=True)
class PromptRow:
    """One prompt of a file. reference: empty when there is none."""

    text: str
    reference: str = ""


def read_prompts(name: str, data: bytes) -> tuple[PromptRow, ...]:
    """Give the prompts of a file in their order; blank lines are passed over.

    name: of the file; its ending says how to read it. Raises InputError, naming
    the line, for what cannot be read, too much of it, and nothing at all.
    """
    kind, file_name = PurePath(name).suffix.lower(), printable(name)
    if kind not in FORMATS:
        raise InputError(f"{file_name} is none of {', '.join(FORMATS)}; save it as one of them.")
    if len(data) > MOST_BYTES:
        raise InputError(f"{file_name} has {len(data):,} bytes; {MOST_BYTES:,} are read at the most.")
    prompts: list[PromptRow] = []
    try:
        for number, row in read_rows(file_name, text_lines(file_name, BytesIO(data)), kind, prompts=True):
            if kind == ".txt" and not normalized(str(row["source"])):
                continue
            prompts.append(_prompt(f"{file_name}, line {number}", row))
            if len(prompts) > MOST:
                raise InputError(
                    f"{file_name} has more than {MOST} prompts; take a part of it here, "
                    "or measure all of it on the Benchmark page."
                )
    except SuiteError as error:
        raise InputError(str(error)) from error
    if not prompts:
        raise InputError(f"{file_name} holds no prompt.")
    return tuple(prompts)


def remarks(prompts: Sequence[PromptRow], task: str) -> tuple[str, ...]:
    """Say what a person should know of these texts before they are answered and scored."""
    return rows.remarks([Example("", "", prompt.text, (prompt.reference,)) for prompt in prompts], task)


def _prompt(place: str, row: Row) -> PromptRow:
    try:
        source, references = to_prompt(row)
    except RowError as error:
        raise InputError(f"{place}: {error}.") from error
    if not normalized(source):
        raise InputError(f"{place}: the source is empty; fill it or remove the line.")
    prompt = PromptRow(source, next(iter(references), ""))
    for text in (prompt.text, prompt.reference):
        if len(text) > LONGEST:
            raise InputError(f"{place}: a text has {len(text):,} characters; write {LONGEST:,} at the most.")
    return prompt
