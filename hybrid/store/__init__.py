"""Stored runs: results/<run_id>/{run.json, examples.jsonl, records.jsonl}.

Append-only and atomic: a killed process loses at most the records in flight,
and leaves a run that lists as incomplete and resumes. results/README.md says
the format. Nothing here imports torch or pandas.
"""

from hybrid.store.claim import new_run_id
from hybrid.store.conditions import CONDITIONS, conditions
from hybrid.store.reading import (
    Key,
    Listing,
    RunReader,
    RunSummary,
    StoredRun,
    find_run,
    list_runs,
    load_run,
    results_folder,
)
from hybrid.store.writing import Writer, check_writable, create, resume

__all__ = [
    "CONDITIONS",
    "Key",
    "Listing",
    "RunReader",
    "RunSummary",
    "StoredRun",
    "Writer",
    "check_writable",
    "conditions",
    "create",
    "find_run",
    "list_runs",
    "load_run",
    "new_run_id",
    "results_folder",
    "resume",
]
