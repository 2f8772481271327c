"""The folder of a run: claimed by one process, locked while it is written; deletion of all that is stored."""

import os
import re
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid.errors import StoreError
from hybrid.schema import Plan
from hybrid.store.files import BESIDE, as_store_error, sync_folder, take_lock
from hybrid.store.folders import (
    EXAMPLES,
    LOCK,
    LONGEST_IN_VIEW,
    RECORDS,
    RUN,
    RUN_ID,
    VIEWS,
    cache_folder,
    results_folder,
)
from hybrid.store.reading import find_run
from hybrid.store.scores import SCORES

if TYPE_CHECKING:
    from filelock import BaseFileLock

_SUITE_CHARACTERS = 40  # of a suite's name in the id of a run
# What a run consists of: its files, its lock, and what a crash in atomic_write() leaves beside them.
_WRITTEN = f"{RUN}|{EXAMPLES}|{SCORES.pattern}"
_PARTS = re.compile(rf"{_WRITTEN}|{RECORDS}|{LOCK}|\.({_WRITTEN})(\.[0-9a-f]{{8}})?{BESIDE}")
_SUFFIXES = {"grids": ".jsonl", "devices": ".json"}  # of the files in these folders of the results
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,127}")


def new_run_id(plan: Plan, now: datetime) -> str:
    """Make an id such as 20261123-014512-everyday-en-de-3f9c: when (UTC), which suite, four random digits."""
    name = plan.suite
    if name.startswith("file:"):
        name = Path(name.removeprefix("file:")).stem  # the folders of this machine are nobody's business
    slug = re.sub(r"[^0-9a-z]+", "-", name.lower()).strip("-")[:_SUITE_CHARACTERS].strip("-")
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{slug or 'suite'}-{secrets.token_hex(2)}"


def claim_folder(root: Path, run_id: str) -> Path:
    """Make a new folder under root: mkdir() succeeds for one process only."""
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(f"{run_id!r} is not the id of a run")
    free = run_id
    while True:
        try:
            (root / free).mkdir()
        except FileExistsError:
            free = f"{re.sub('-[0-9a-f]{4}$', '', run_id)}-{secrets.token_hex(2)}"
        else:
            return root / free


def lock_run(folder: Path) -> "BaseFileLock":
    """Take the lock of a run, which ends with its process however that ends. Raises StoreError."""
    lock = take_lock(folder / LOCK)
    if lock is None:
        raise StoreError(f"Run {folder.name} is being written by another process. Wait for it or stop it.")
    return lock


def delete_run(run_id: str, root: Path | None = None) -> None:
    """Remove a stored run for good. run_id: all of it; no beginning, not `latest`.

    The folder takes a hidden name first, so that the run vanishes at once and
    whole. What was computed of it, its texts among it, leaves the cache.
    Raises StoreError, and removes nothing, when there is no such run,
    when it is being written, and when its folder holds what is no part of a run.
    """
    root = root or results_folder()
    if find_run(run_id, root) != run_id:
        raise StoreError(f"There is no run {run_id} in {root}. `hybrid runs` lists those that are here.")
    folder = root / run_id
    with as_store_error(f"Run {run_id} cannot be deleted"):
        _check_parts(folder)
        lock = lock_run(folder)
        try:
            hidden = root / f".deleted-{secrets.token_hex(8)}"
            folder.rename(hidden)
            sync_folder(root)
            for name in _check_parts(hidden):
                (hidden / name).unlink()  # of a link, only the link
            hidden.rmdir()
        finally:
            lock.release()
    with suppress(OSError, StoreError):
        for view in (cache_folder() / VIEWS).glob(f"*-{run_id[:LONGEST_IN_VIEW]}-*"):
            view.unlink(missing_ok=True)


def _check_parts(folder: Path) -> list[str]:
    """List the names in the folder of a run. Raises StoreError for what is no part of one."""
    with os.scandir(folder) as entries:
        names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    foreign = sorted(name for name, is_folder in names.items() if is_folder or not _PARTS.fullmatch(name))
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise StoreError(
            f"Run {folder.name} cannot be deleted: its folder also holds {foreign[0]!r}{more}, "
            "which is no part of a run. Move that elsewhere."
        )
    return list(names)


def delete_stored(name: str, root: Path | None = None) -> None:
    """Remove a run for good, or grids/GRID, or devices/PROFILE. name: all of it, no beginning.

    Raises StoreError, and removes nothing, when there is no such thing or it cannot be removed.
    """
    root = root or results_folder()
    folder, slash, stem = name.rpartition("/")
    if not slash:
        delete_run(name, root)
        return
    if folder not in _SUFFIXES or not _NAME.fullmatch(stem):
        raise StoreError(
            f"{name!r} names nothing that is stored; give the id of a run, grids/GRID or devices/PROFILE."
        )
    path = root / folder / f"{stem}{_SUFFIXES[folder]}"
    with as_store_error(f"{path} cannot be deleted"):
        path.unlink()  # of a link, only the link
        sync_folder(path.parent)
