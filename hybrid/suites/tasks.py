"""Which task a suite asks for, and whether a pair can do it."""

from collections.abc import Sequence

from hybrid.errors import SuiteError
from hybrid.schema import TASKS, Suite


def check_task(suite: Suite, tasks: Sequence[str], pair: str) -> None:
    """Raises SuiteError when the pair was not trained for the suite's task."""
    if suite.task not in tasks:
        raise SuiteError(
            f"The suite {suite.name} is for {describe(suite.task)}, but the pair {pair} is for "
            f"{', '.join(map(describe, tasks)) or 'no task'}; choose another suite or pair."
        )


def required_task(name: str, task: str | None) -> str:
    """`task`, for a suite whose texts do not say theirs. Raises SuiteError when it is missing or unknown."""
    if task is None:
        raise SuiteError(f"{name} does not say its task; name one of {', '.join(TASKS)}.")
    return _known(task)


def stated_task(name: str, stated: str, task: str | None) -> str:
    """`stated`, for a suite that has a task of its own. Raises SuiteError when another one is asked for."""
    if task is not None and _known(task) != stated:
        raise SuiteError(f"The suite {name} is for {describe(stated)}, not for {describe(task)}.")
    return stated


def task_of_languages(name: str, source: str, target: str) -> str:
    """The task that translates from `source` to `target`. Raises SuiteError without one."""
    translations = [task for task in TASKS.values() if task.source_language != task.target_language]
    for task in translations:
        if (task.source_language, task.target_language) == (source, target):
            return task.name
    available = ", ".join(f"{task.source_language} to {task.target_language}" for task in translations)
    raise SuiteError(f"{name}: no task translates {source} to {target}; available: {available}.")


def describe(task: str) -> str:
    """A task with its languages: "summarize (en)", "translate-en-de (en to de)"."""
    known = TASKS.get(task)
    if known is None:
        return task
    languages = dict.fromkeys((known.source_language, known.target_language))
    return f"{task} ({' to '.join(languages)})"


def _known(task: str) -> str:
    if task not in TASKS:
        raise SuiteError(f"There is no task {task!r}; available: {', '.join(TASKS)}.")
    return task
