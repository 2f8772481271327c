"""Removing what is stored for good, damaged or not: a run by its id, a grid or a profile by its file."""

import re
from pathlib import Path

from hybrid.errors import StoreError
from hybrid.store.files import as_store_error, sync_folder
from hybrid.store.folders import results_folder
from hybrid.store.run_lock import delete_run

_SUFFIXES = {"grids": ".jsonl", "devices": ".json"}  # of the files in these folders of the results
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,127}")


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
