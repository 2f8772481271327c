"""When stored runs have changed, without reading them: what is kept of a run is valid while its stamp is."""

import os
from hashlib import sha256
from pathlib import Path

from hybrid.store.files import explained
from hybrid.store.reading import EXAMPLES, RECORDS, RUN, results_folder


def run_stamp(run_id: str, root: Path | None = None) -> str:
    """Changes whenever a file of the run does; also for a run that is not there."""
    folder = (root or results_folder()) / run_id
    return _digest([str(folder), *(_file(folder / name) for name in (RUN, EXAMPLES, RECORDS))])


def results_stamp(root: Path | None = None) -> str:
    """Changes whenever a run is added, removed, renamed or finished, or gets an answer. Raises StoreError."""
    root = root or results_folder()
    found = []
    with explained(f"{root} cannot be read", "HYBRID_RESULTS names another folder of results."):
        try:
            names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            names = []
    for name in names:
        found += [name, _file(root / name / RUN), _file(root / name / RECORDS)]
    return _digest([str(root), *found])


def _file(path: Path) -> str:
    try:
        found = path.lstat()
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return ""
    return f"{found.st_mtime_ns} {found.st_size} {found.st_ino}"


def _digest(parts: list[str]) -> str:
    return sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
