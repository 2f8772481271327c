"""Examples to measure on and to train on, by the name of their suite.

everyday-en-de, briefs-en       bundled
sacrebleu:wmt20/en-de           a test set, through sacrebleu
hf:DATASET:CONFIG:SPLIT         a data set of the Hugging Face Hub
file:PATH                       a table: TSV, CSV or JSONL, with names of columns or without
file:SOURCES,REFERENCES         two files of a text a line, side by side
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from hybrid.errors import SuiteError
from hybrid.schema import Suite
from hybrid.suites import catalog
from hybrid.suites.catalog import check_task

__all__ = ["bundled_suites", "check_task", "load_suite"]

_Load = Callable[[str, str | None, Mapping[str, str] | None], Suite]

# What stands before the colon chooses the module that reads what stands behind it; imported only then.
_LOADERS: Mapping[str, tuple[str, str]] = {
    "sacrebleu": ("sacrebleu_sets", "sacrebleu:SET/PAIR"),
    "hf": ("hub", "hf:DATASET:CONFIG:SPLIT"),
    "file": ("files", "file:PATH"),
}


def load_suite(name: str, task: str | None = None, columns: Mapping[str, str] | None = None) -> Suite:
    """Load the suite of that name, read whole and checked.

    task: a name of schema.TASKS; needed for hf: and file: suites, which do not
        state theirs, and must agree where a suite does.
    columns: for hf: and file: suites, which column holds the source, the
        reference, the domain and the id; dots lead into nested ones, numbers name
        those of a table without names, and `delimiter` says what parts a CSV.

    The suite of a file is named without its folders.

    Raises SuiteError: unknown, unreachable, unreadable, empty, or of another task.
    """
    if name in catalog.BUNDLED:
        return catalog.load(name, task, columns)
    prefix, colon, address = name.partition(":")
    if not colon or prefix not in _LOADERS:
        raise SuiteError(_unknown(name))
    load: _Load = import_module(f"hybrid.suites.{_LOADERS[prefix][0]}").load
    return load(address, task, columns)


def bundled_suites() -> tuple[str, ...]:
    """List the names of the suites that need no network and no file."""
    return tuple(catalog.BUNDLED)


def _unknown(name: str) -> str:
    prefix, colon, address = name.partition(":")
    forms = ", ".join(form for _, form in _LOADERS.values())
    if not colon and _is_file(name):
        close = [f"file:{name}"]
    elif colon:
        close = [f"{known}:{address}" for known in get_close_matches(prefix, _LOADERS, n=1)]
    else:
        close = get_close_matches(name, catalog.BUNDLED, n=1, cutoff=0.4)
    meant = f"; did you mean {close[0]}?" if close else "."
    return f"There is no suite {name!r}{meant} Available: {', '.join(catalog.BUNDLED)}, {forms}."


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # longer than a name may be, or in a folder that may not be read
        return False
