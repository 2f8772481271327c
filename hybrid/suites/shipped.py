"""The suites that ship with the product, written for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hybrid.errors import SuiteError
from hybrid.schema import Suite
from hybrid.suites.files import load_examples
from hybrid.suites.tasks import stated_task

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
    """A bundled suite. Raises SuiteError for columns, another task, or a damaged installation."""
    refuse_columns(name, columns)
    known = BUNDLED[name]
    chosen = stated_task(name, known.task, task)
    return Suite(name, chosen, known.licence, load_examples(FOLDER / f"{name}.jsonl"))


def refuse_columns(name: str, columns: Mapping[str, str] | None) -> None:
    """Raises SuiteError: only some suites have columns to choose."""
    if columns:
        raise SuiteError(f"The suite {name} has no columns to name; file: and hf: suites have.")


def unreachable(name: str, reason: object) -> SuiteError:
    """The error of a remote suite that cannot be fetched, with the first line of its reason."""
    first = next(iter(str(reason).strip().splitlines()), "") or type(reason).__name__
    first = re.sub(r"^\[Errno -?\d+\] ", "", first).rstrip(".")
    return SuiteError(
        f"The suite {name} cannot be fetched ({first}); "
        f"these need no network: {', '.join(BUNDLED)}, file:PATH."
    )
