"""Removing a run: only what is one, never one that is being written, and nothing beside it."""

import os
import re
import secrets
from pathlib import Path

from hybrid.errors import StoreError
from hybrid.store.claim import LOCK, locked
from hybrid.store.files import BESIDE, as_store_error, sync_folder
from hybrid.store.folders import EXAMPLES, RECORDS, RUN, results_folder
from hybrid.store.reading import find_run
from hybrid.store.scores import SCORES

# What a run consists of: its files, its lock, and what a crash in atomic_write() leaves beside them.
_WRITTEN = f"{RUN}|{EXAMPLES}|{SCORES.pattern}"
_PARTS = re.compile(rf"{_WRITTEN}|{RECORDS}|{LOCK}|\.({_WRITTEN})(\.[0-9a-f]{{8}})?{BESIDE}")


def delete_run(run_id: str, root: Path | None = None) -> None:
    """Remove a stored run for good. run_id: all of it; no beginning, not `latest`.

    The folder takes a hidden name first, so that the run vanishes at once and
    whole. Raises StoreError, and removes nothing, when there is no such run,
    when it is being written, and when its folder holds what is no part of a run.
    """
    root = root or results_folder()
    if find_run(run_id, root) != run_id:
        raise StoreError(f"There is no run {run_id} in {root}. `hybrid runs` lists those that are here.")
    folder = root / run_id
    with as_store_error(f"Run {run_id} cannot be deleted"):
        _check_parts(folder)
        lock = locked(folder)
        try:
            hidden = root / f".deleted-{secrets.token_hex(8)}"
            folder.rename(hidden)
            sync_folder(root)
            for name in _check_parts(hidden):
                (hidden / name).unlink()  # of a link, only the link
            hidden.rmdir()
        finally:
            lock.release()


def _check_parts(folder: Path) -> list[str]:
    """Names in the folder of a run. Raises StoreError for what is no part of one."""
    with os.scandir(folder) as entries:
        found = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    foreign = sorted(name for name, is_folder in found.items() if is_folder or not _PARTS.fullmatch(name))
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise StoreError(
            f"Run {folder.name} cannot be deleted: its folder also holds {foreign[0]!r}{more}, "
            "which is no part of a run. Move that elsewhere."
        )
    return list(found)
