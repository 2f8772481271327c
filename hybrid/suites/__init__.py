"""Examples to measure on and to train on, by the name of their suite.

everyday-en-de, briefs-en, everyday-100-en-de    bundled: the newest version
everyday-en-de@1                                 bundled: this version
sacrebleu:wmt20/en-de                            a test set, through sacrebleu
hf:DATASET:CONFIG:SPLIT                          a data set of the Hugging Face Hub
file:PATH                                        a table: TSV, CSV or JSONL, with names of columns or without
file:SOURCES,REFERENCES                          two files of a text a line, side by side
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from itertools import chain
from pathlib import Path

from hybrid.errors import SuiteError
from hybrid.schema import TASKS, Suite, Task, is_task_name, task_named

__all__ = ["bundled_suites", "check_task", "is_bundled", "load_suite"]

_Load = Callable[[str, str | None, Mapping[str, str] | None], Suite]

# What stands before the colon chooses the module that reads what stands behind it; imported only then.
_LOADERS: Mapping[str, tuple[str, str]] = {
    "sacrebleu": ("sacrebleu_sets", "sacrebleu:SET/PAIR"),
    "hf": ("hub", "hf:DATASET:CONFIG:SPLIT"),
    "file": ("files", "file:PATH"),
}
_TASKS = f"{', '.join(TASKS)}, or one of a pair's own"
FOLDER = Path(__file__).with_name("bundled")


def load_suite(name: str, task: str | None = None, columns: Mapping[str, str] | None = None) -> Suite:
    """Load the suite of that name, read whole and checked.

    task: any name of a task; needed for hf: and file: suites, which do not
        state theirs, and must agree where a suite does.
    columns: for hf: and file: suites, which column holds the source, the
        reference, the domain and the id; dots lead into nested ones, numbers name
        those of a table without names, and `delimiter` says what parts a CSV.

    The suite of a file is named without its folders, a bundled one with its version.

    Raises SuiteError: unknown, unreachable, unreadable, empty, or of another task.
    """
    if is_bundled(name):
        return load_bundled(name, task, columns)
    prefix, colon, address = name.partition(":")
    if not colon or prefix not in _LOADERS:
        raise SuiteError(_unknown(name))
    load: _Load = import_module(f"hybrid.suites.{_LOADERS[prefix][0]}").load
    return load(address, task, columns)


def bundled_suites() -> tuple[str, ...]:
    """List the names of the suites that need no network and no file; each means its newest version."""
    return tuple(BUNDLED)


def is_bundled(name: str) -> bool:
    """Tell whether a name is that of a bundled suite, with a version that there is or without one."""
    return name in BUNDLED or name in _versions()


def _versions() -> list[str]:
    """List the versions of all bundled suites, the newest first."""
    return [f"{name}@{n}" for name, known in BUNDLED.items() for n in range(known.versions, 0, -1)]


def _unknown(name: str) -> str:
    prefix, colon, address = name.partition(":")
    forms = ", ".join(form for _, form in _LOADERS.values())
    if not colon and _is_file(name):
        close = [f"file:{name}"]
    elif colon:
        close = [f"{known}:{address}" for known in get_close_matches(prefix, _LOADERS, n=1)]
    else:
        close = get_close_matches(name, _versions() if "@" in name else BUNDLED, n=1, cutoff=0.4)
    meant = f"; did you mean {close[0]}?" if close else "."
    return f"There is no suite {name!r}{meant} Available: {', '.join(BUNDLED)}, {forms}."


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # longer than a name may be, or in a folder that may not be read
        return False


@dataclass(frozen=True)
class Bundled:
    """What is known of a bundled suite besides its texts.

    versions: how many there are. What one adds to those before lies in a file of its own, which never
    changes once it is released: a stored run must find its texts.
    """

    task: str
    versions: int = 1
    licence: str = "CC0-1.0"


BUNDLED: Mapping[str, Bundled] = {
    "everyday-en-de": Bundled("translate-en-de", versions=2),
    "briefs-en": Bundled("summarize", versions=2),
    "everyday-100-en-de": Bundled("translate-en-de"),  # short ones, whose answers a person judges
}


def load_bundled(name: str, task: str | None, columns: Mapping[str, str] | None) -> Suite:
    """Load a bundled suite. Raises SuiteError for columns, another task, or a damaged installation."""
    from hybrid.suites.files import load_examples

    refuse_columns(name, columns)
    suite, _, version = name.partition("@")
    known = BUNDLED[suite]
    chosen, last = stated_task(name, known.task, task), int(version or known.versions)
    examples = (load_examples(FOLDER / f"{suite}-{n}.jsonl") for n in range(1, last + 1))
    return Suite(f"{suite}@{last}", chosen, known.licence, tuple(chain.from_iterable(examples)))


def refuse_columns(name: str, columns: Mapping[str, str] | None) -> None:
    """Refuse columns with SuiteError: only some suites have columns to choose."""
    if columns:
        raise SuiteError(f"The suite {name} has no columns to name; file: and hf: suites have.")


def unreachable(name: str, reason: object) -> SuiteError:
    """Make the error of a remote suite that cannot be fetched, with the first line of its reason."""
    first = next(iter(str(reason).strip().splitlines()), "") or type(reason).__name__
    first = re.sub(r"^\[Errno -?\d+\] ", "", first).rstrip(".")
    return SuiteError(
        f"The suite {name} cannot be fetched ({first}); "
        f"these need no network: {', '.join(BUNDLED)}, file:PATH."
    )


def check_task(suite: Suite, tasks: Mapping[str, Task], pair: str) -> None:
    """Raise SuiteError when the pair was not trained for the suite's task."""
    if suite.task not in tasks:
        raise SuiteError(
            f"The suite {suite.name} is for {describe(task_named(suite.task))}, but the pair {pair} is for "
            f"{', '.join(map(describe, tasks.values())) or 'no task'}; choose another suite or pair."
        )


def required_task(name: str, task: str | None) -> str:
    """`task`, for a suite whose texts do not say theirs. Raises SuiteError when it is missing or unknown."""
    if task is None:
        raise SuiteError(f"{name} does not say its task; choose one (--task): {_TASKS}.")
    return known_task(task)


def stated_task(name: str, stated: str, task: str | None) -> str:
    """`stated`, for a suite that has a task of its own. Raises SuiteError when another one is asked for."""
    if task is not None and known_task(task) != stated:
        known, other = describe(task_named(stated)), describe(task_named(task))
        raise SuiteError(f"The suite {name} is for {known}, not for {other}.")
    return stated


def task_of_languages(name: str, source: str, target: str) -> str:
    """Return the task that translates from `source` to `target`. Raises SuiteError when there can be none."""
    task = f"translate-{source}-{target}"
    known = task_named(task)
    if known.kind != "translation" or (known.source_language, known.target_language) != (source, target):
        raise SuiteError(f"{name}: no task translates {source} to {target}; name two languages, as en-de.")
    return task


def describe(task: Task) -> str:
    """Write a task with its languages: "summarize (en)", "translate-en-de (en to de)"."""
    return f"{task.name} ({task.languages})" if task.languages else task.name


def known_task(task: str) -> str:
    """`task`. Raises SuiteError when no task can have that name; check_task() says what a pair is for."""
    if not is_task_name(task):
        raise SuiteError(f"There is no task {task!r}; available: {_TASKS}.")
    return task
