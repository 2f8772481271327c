"""The suites that ship with the product, and which task a suite asks for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid.errors import SuiteError
from hybrid.schema import TASKS, Suite

FOLDER = Path(__file__).with_name("bundled")


@dataclass(frozen=True)
class Bundled:
    """What is known of a bundled suite besides its texts."""

    task: str
    licence: str = "CC0-1.0"


BUNDLED: Mapping[str, Bundled] = {
    "everyday-en-de": Bundled("translate-en-de"),
    "briefs-en": Bundled("summarize"),
}


def load(name: str, task: str | None, columns: Mapping[str, str] | None) -> Suite:
    """Load a bundled suite. Raises SuiteError for columns, another task, or a damaged installation."""
    from hybrid.suites.files import load_examples

    refuse_columns(name, columns)
    known = BUNDLED[name]
    chosen = stated_task(name, known.task, task)
    return Suite(name, chosen, known.licence, load_examples(FOLDER / f"{name}.jsonl"))


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


def check_task(suite: Suite, tasks: Sequence[str], pair: str) -> None:
    """Raise SuiteError when the pair was not trained for the suite's task."""
    if suite.task not in tasks:
        raise SuiteError(
            f"The suite {suite.name} is for {describe(suite.task)}, but the pair {pair} is for "
            f"{', '.join(map(describe, tasks)) or 'no task'}; choose another suite or pair."
        )


def required_task(name: str, task: str | None) -> str:
    """`task`, for a suite whose texts do not say theirs. Raises SuiteError when it is missing or unknown."""
    if task is None:
        raise SuiteError(f"{name} does not say its task; choose one (--task): {', '.join(TASKS)}.")
    return _known(task)


def stated_task(name: str, stated: str, task: str | None) -> str:
    """`stated`, for a suite that has a task of its own. Raises SuiteError when another one is asked for."""
    if task is not None and _known(task) != stated:
        raise SuiteError(f"The suite {name} is for {describe(stated)}, not for {describe(task)}.")
    return stated


def task_of_languages(name: str, source: str, target: str) -> str:
    """Return the task that translates from `source` to `target`. Raises SuiteError without one."""
    translations = [task for task in TASKS.values() if task.source_language != task.target_language]
    for task in translations:
        if (task.source_language, task.target_language) == (source, target):
            return task.name
    available = ", ".join(f"{task.source_language} to {task.target_language}" for task in translations)
    raise SuiteError(f"{name}: no task translates {source} to {target}; available: {available}.")


def describe(task: str) -> str:
    """Write a task with its languages: "summarize (en)", "translate-en-de (en to de)"."""
    known = TASKS.get(task)
    if known is None:
        return task
    languages = dict.fromkeys((known.source_language, known.target_language))
    return f"{task} ({' to '.join(languages)})"


def _known(task: str) -> str:
    if task not in TASKS:
        raise SuiteError(f"There is no task {task!r}; available: {', '.join(TASKS)}.")
    return task
