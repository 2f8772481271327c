"""From a row of named columns to an Example, and what must hold for all examples of a suite.

Every source of rows (tables in files, the Hub) is read by the same rules.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hybrid.errors import SuiteError
from hybrid.format import printable
from hybrid.schema import Example
from hybrid.schema.texts import UNREADABLE, changes, normalized

Row = Mapping[str, object]

ROLES = ("id", "domain", "source", "reference")
# What their columns are called when none are named; the first that is there is read. A `source` beside
# a `document` is where it comes from; beside a `summary` alone it could be either, and that is not guessed.
SOURCES = ("document", "source", "prompt")
REFERENCES = ("references", "reference", "target")
SUMMARIES = ("summary", "summaries")
DEFAULT_DOMAIN = "all"
_SHOWN = 20  # column names in a message
_QUOTED = re.compile(r'"[^"]*(""[^"]*)+"')


class RowError(ValueError):
    """A row is no example. Its text goes behind "FILE, line 3" and a colon. line: None where not known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def check_columns(columns: Mapping[str, str] | None) -> None:
    """Raise SuiteError when `columns` names something else than ROLES."""
    for role in columns or {}:
        if role not in ROLES:
            raise SuiteError(
                f"A suite has no {role!r} to take from a column; it has {', '.join(ROLES)}, "
                "as in source=NAME reference=NAME."
            )


def to_example(row: Row, columns: Mapping[str, str] | None, default_id: str) -> Example:
    """Make the example of a row. Raises RowError.

    columns: role to column name, with dots for nested ones (`translation.en`).
    A role that is not given is read as own_names() says; id and domain may be missing.
    """
    names = {**own_names(row), **(columns or {})}
    references = _texts(row, names["reference"])
    if not references:
        raise RowError("there is no reference; give at least one")
    return Example(
        id=_label(row, names["id"]) if "id" in names else default_id,
        domain=_label(row, names["domain"]) if "domain" in names else DEFAULT_DOMAIN,
        source=_text(row, names["source"]),
        references=references,
    )


def to_prompt(row: Row) -> tuple[str, tuple[str, ...]]:
    """Give source and references of a row that need not have any. Raises RowError."""
    reference = next((name for name in (*REFERENCES, *SUMMARIES) if name in row), None)
    return _text(row, own_names(row)["source"]), _texts(row, reference) if reference else ()


def checked(placed: Iterable[tuple[str, Example]], name: str) -> tuple[Example, ...]:
    """Check the examples of the suite `name`, each given with its place ("a.tsv, line 3").

    Raises SuiteError when there is none, an id comes twice, a text is empty (also
    one of white space and of what shows nothing) or holds what the engines refuse.
    """
    places: dict[str, str] = {}
    examples: list[Example] = []
    for place, example in placed:
        _check_texts(place, example)
        if example.id in places:
            raise SuiteError(
                f"{place}: the id {example.id!r} is already that of {places[example.id]}; "
                "give every example its own."
            )
        places[example.id] = place
        examples.append(example)
    if not examples:
        raise SuiteError(f"{name} is empty; a suite has at least one example.")
    return tuple(examples)


def remarks(examples: Sequence[Example], lines: bool) -> tuple[str, ...]:
    """Say what a person should know of a suite's texts before they are answered and scored.

    lines: whether line ends are a part of them, see Task.
    """
    every = len(examples)
    changed, quoted = 0, 0
    kinds: dict[str, None] = {}
    for example in examples:
        texts = (example.source, *example.references)
        of_example = dict.fromkeys(kind for text in texts for kind in changes(text, lines))
        changed, quoted = changed + bool(of_example), quoted + any(map(_QUOTED.fullmatch, texts))
        kinds |= of_example
    sentences = (
        (changed, f"texts that are normalized before they are read and scored ({', '.join(kinds)})"),
        (quoted, "texts quoted like the cells of a CSV; save a TSV as .csv if the marks are no part of them"),
    )
    return tuple(f"{count} of {every} examples hold {what}." for count, what in sentences if count)


def without_controls(text: str) -> str:
    """Put a blank for every character that the engines refuse: for texts that nobody here can mend."""
    return UNREADABLE.sub(" ", text)


def own_names(row: Row) -> dict[str, str]:
    """Name the columns that are read when none are named: SOURCES, REFERENCES, `id`, `domain`.

    Of source and reference the names are those that lack where the row has none.
    """
    source = next((name for name in SOURCES if name in row), "source")
    choice = (*SUMMARIES, *REFERENCES) if source == "document" else REFERENCES
    names = {"source": source, "reference": next((name for name in choice if name in row), "reference")}
    if source == "document" and "source" in row:
        names["domain"] = "source"
    return {role: role for role in ("id", "domain") if role in row} | names


def _find(row: Row, name: str) -> object:
    """Return the value of a column; the name itself goes before its reading as a path."""
    if name in row:
        return row[name]
    value: object = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            available = sorted(_column_names(row))
            more = f" and {len(available) - _SHOWN} more" if len(available) > _SHOWN else ""
            names = ", ".join(map(printable, available[:_SHOWN])) or "none"
            raise RowError(f"there is no column {name!r}; available: {names}{more}")
        value = value[part]
    return value


def _column_names(row: Row, above: str = "") -> Iterator[str]:
    for name, value in row.items():
        if isinstance(value, Mapping) and value:
            yield from _column_names(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def _text(row: Row, name: str) -> str:
    value = _find(row, name)
    if not isinstance(value, str):
        raise RowError(f"the column {name!r} is not a text but {_kind(value)}")
    return value


def _texts(row: Row, name: str) -> tuple[str, ...]:
    value = _find(row, name)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise RowError(f"the column {name!r} is neither a text nor a list of texts")
    return tuple(texts)


def _label(row: Row, name: str) -> str:
    """Check an id or a domain: a text or a whole number."""
    value = _find(row, name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RowError(f"the column {name!r} is neither a text nor a whole number but {_kind(value)}")
    return str(value)


def _kind(value: object) -> str:
    if value is None:
        return "empty (null)"
    if isinstance(value, Mapping):
        return "a group of columns"
    return "a list" if isinstance(value, list | tuple) else f"the value {str(value)[:40]}"


def _check_texts(place: str, example: Example) -> None:
    for part, text in (("source", example.source), *(("reference", text) for text in example.references)):
        if not normalized(text):
            raise SuiteError(f"{place}: the {part} is empty; fill it or remove the example.")
    for text in (example.id, example.domain, example.source, *example.references):
        if match := UNREADABLE.search(text):
            raise SuiteError(
                f"{place}: there is a control character (U+{ord(match[0]):04X}) "
                f"at position {match.start() + 1} of a text; remove it."
            )
