"""Stored runs: results/<run_id>/{run.json, examples.jsonl, records.jsonl, scores-METRIC.jsonl}.

Append-only and atomic: a killed process loses at most the records in flight,
and leaves a run that lists as incomplete and resumes. results/README.md says
the format. Nothing here imports torch or pandas; what writes is imported on first use,
so that `hybrid runs` is instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hybrid.store.folders import results_fingerprint, results_folder, run_fingerprint
from hybrid.store.reading import (
    Key,
    Listing,
    RunReader,
    RunSummary,
    StoredRun,
    find_run,
    list_runs,
    load_run,
    run_of,
)
from hybrid.store.scores import ScoreHeader, open_scores, score_headers

if TYPE_CHECKING:
    from hybrid.store.importing import import_archive, import_run, write_archive
    from hybrid.store.run_lock import delete_run, new_run_id
    from hybrid.store.writing import Writer, check_writable, create, resume

__all__ = [
    "Key",
    "Listing",
    "RunReader",
    "RunSummary",
    "ScoreHeader",
    "StoredRun",
    "Writer",
    "check_writable",
    "create",
    "delete_run",
    "find_run",
    "import_archive",
    "import_run",
    "list_runs",
    "load_run",
    "new_run_id",
    "open_scores",
    "results_fingerprint",
    "results_folder",
    "resume",
    "run_fingerprint",
    "run_of",
    "score_headers",
    "write_archive",
]

_ON_FIRST_USE = {
    "importing": ("import_archive", "import_run", "write_archive"),
    "run_lock": ("delete_run", "new_run_id"),
    "writing": ("Writer", "check_writable", "create", "resume"),
}


def __getattr__(name: str) -> object:
    for module, names in _ON_FIRST_USE.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
