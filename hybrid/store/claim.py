"""The folder of a run, made by one process only, and its lock."""

import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid.errors import StoreError
from hybrid.schema import Plan
from hybrid.store.folders import RUN_ID

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"
_SUITE_CHARACTERS = 40  # of a suite's name in the id of a run


def new_run_id(plan: Plan, now: datetime) -> str:
    """An id such as 20261123-014512-everyday-en-de-3f9c: when (UTC), which suite, four random digits."""
    name = plan.suite
    if name.startswith("file:"):
        name = Path(name.removeprefix("file:")).stem  # the folders of this machine are nobody's business
    slug = re.sub(r"[^0-9a-z]+", "-", name.lower()).strip("-")[:_SUITE_CHARACTERS].strip("-")
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{slug or 'suite'}-{secrets.token_hex(2)}"


def claimed(root: Path, run_id: str) -> Path:
    """A new folder under root: mkdir() succeeds for one process only."""
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(f"{run_id!r} is not the id of a run")
    wanted = run_id
    while True:
        try:
            (root / wanted).mkdir()
        except FileExistsError:
            wanted = f"{re.sub('-[0-9a-f]{4}$', '', run_id)}-{secrets.token_hex(2)}"
        else:
            return root / wanted


def locked(folder: Path) -> "BaseFileLock":
    """The lock of a run, which ends with its process however that ends."""
    from filelock import FileLock, Timeout  # costs a twentieth of a second

    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise StoreError(
            f"Run {folder.name} is being written by another process. Wait for it or stop it."
        ) from error
    return lock
