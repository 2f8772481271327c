"""One run beside its own LLM: the rows of `hybrid export`, a verdict for each system, warnings."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from hybrid.compare import compare_runs, summaries
from hybrid.errors import InputError
from hybrid.presentation.views.kept import kept
from hybrid.schema import BASELINE, System
from hybrid.store import StoredRun, load_run
from hybrid.store.tables import Cell

Row = Mapping[str, Cell]


@dataclass(frozen=True)
class Digest:
    """rows: by system, of hybrid.compare.COLUMNS. verdicts: a sentence by system.

    why: there are no verdicts, in a sentence; empty where there are.
    """

    run_id: str
    rows: Mapping[System, Row]
    verdicts: Mapping[System, str]
    warnings: tuple[str, ...]
    why: str = ""


def digest(run_id: str, root: Path | None = None) -> Digest:
    """What a stored run says, kept once it is complete. run_id: as find_run() gives it. Raises StoreError."""

    def make() -> Digest:
        return digest_of(load_run(run_id, root))

    return kept("digest-1.json", run_id, make, _read, _write, root)


def digest_of(stored: StoredRun) -> Digest:
    """The same, of a run that is loaded."""
    rows = {System.parse(str(row["system"])): row for row in summaries(stored)}
    try:
        found = compare_runs([stored], BASELINE)
    except InputError as error:  # no answers yet, or none of the LLM
        return Digest(stored.run.run_id, rows, {}, stored.problems, str(error))
    verdicts = {one.summary.system: one.verdict for one in found.systems}
    return Digest(stored.run.run_id, rows, verdicts, found.warnings)


def number(row: Row, name: str) -> float | None:
    """A value of a row; None where it has none, or one that is no number."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else None


def _read(path: Path) -> Digest:
    row = json.loads(path.read_text("utf-8"))
    rows, verdicts = (
        {System.parse(system): value for system, value in row[name].items()} for name in ("rows", "verdicts")
    )
    return Digest(row["run_id"], rows, verdicts, tuple(row["warnings"]), row["why"])


def _write(found: Digest, file: IO[bytes]) -> None:
    file.write(json.dumps(asdict(found)).encode())
