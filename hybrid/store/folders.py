"""Where things lie: the clone, stored results, what is made once and kept; and whether they have changed."""

import os
import re
import tempfile
from collections.abc import Collection
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from hybrid.errors import StoreError
from hybrid.store.files import as_store_error, make_private

RUN, EXAMPLES, RECORDS = "run.json", "examples.jsonl", "records.jsonl"  # the files of a run
LOCK = ".lock"  # of a run that is being written
RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")  # of runs and grids
LATEST = "latest"  # in place of an id
VIEWS = "views"  # in the cache folder: what was computed of complete runs, texts among it
LONGEST_IN_VIEW = 60  # characters of a run's id in the name of such a file

ROOT = Path(__file__).parents[2]  # of the clone, or the folder of installed packages
APP = ROOT / "app.py"  # what a clone has and an installed package does not


def named_folder(variable: str) -> Path | None:
    """Return the folder in an environment variable; None where it is unset or empty. Raises StoreError."""
    value = os.environ.get(variable, "").strip()
    return expanded(Path(value), f"{variable} names {value!r}") if value else None


def expanded(path: Path, what: str) -> Path:
    """Return `path` with a first part of ~ as the home folder; a name that only begins with ~ is a name.

    Raises StoreError, with `what` as its subject, where there is no home folder.
    """
    if path.parts[:1] != ("~",):
        return path
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise StoreError(f"{what}, and this user has no home folder; write the whole path.") from error


def results_folder() -> Path:
    """Return HYBRID_RESULTS, or results/ beside app.py, or, without a clone, results/ right here."""
    return named_folder("HYBRID_RESULTS") or (ROOT if APP.is_file() else Path()) / "results"


def suites_folder() -> Path:
    """Return HYBRID_SUITES, else suites/ in the folder of results: what visitors of the pages may name."""
    return named_folder("HYBRID_SUITES") or results_folder() / "suites"


def cache_folder() -> Path:
    """Return HYBRID_CACHE, else hybrid-bench in the folder for caches that the system names.

    It holds converted models, built graphs, figures. It need not exist, nor be
    writable; deleting it costs nothing but time. For a user without a home
    folder it lies in runtime_folder().
    """
    if own := named_folder("HYBRID_CACHE"):
        return own
    from platformdirs import user_cache_path  # not needed by those who only look at results

    try:
        folder = user_cache_path("hybrid-bench", appauthor=False)
        # The specification of XDG_CACHE_HOME has relative paths in it ignored.
        return folder if folder.is_absolute() else Path("~/.cache/hybrid-bench").expanduser()
    except RuntimeError:
        return runtime_folder() / "cache"


def data_folder() -> Path:
    """Return the folder for what a user makes and keeps, such as pairs: hybrid-bench where the system says.

    It need not exist. For a user without a home folder it lies in runtime_folder().
    """
    from platformdirs import user_data_path

    try:
        folder = user_data_path("hybrid-bench", appauthor=False)
        # The specification of XDG_DATA_HOME has relative paths in it ignored.
        return folder if folder.is_absolute() else Path("~/.local/share/hybrid-bench").expanduser()
    except RuntimeError:
        return runtime_folder() / "data"


def runtime_folder() -> Path:
    """Return this user's folder for what processes share while they run, such as the lock on measurements.

    HYBRID_RUNTIME, else hybrid-bench-UID in /tmp, closed to others. Not where
    TMPDIR or XDG_RUNTIME_DIR say, as two processes must meet there; nor in
    /run/user, which is emptied at logout, under a benchmark that goes on.
    Raises StoreError.
    """
    if own := named_folder("HYBRID_RUNTIME"):
        return own
    if not hasattr(os, "getuid"):  # on Windows temporary folders are each user's own
        return Path(tempfile.gettempdir()) / "hybrid-bench"
    folder = Path("/tmp") / f"hybrid-bench-{os.getuid()}"
    with as_store_error(f"{folder} cannot be used", "HYBRID_RUNTIME names another folder."):
        make_private(folder)
    return folder


def match_id(text: str, ids: Collection[str], noun: str, hint: str) -> str:
    """Find the id that `text` is, or is the beginning of.

    noun: what has these ids, run or grid. hint: how to see which there are. Raises
    StoreError when there is no such id, or several.
    """
    if not RUN_ID.fullmatch(text):
        raise StoreError(f"{text!r} is not the id of a {noun}. {hint}")
    matches = sorted(name for name in ids if name.startswith(text))
    if text in matches:
        return text
    if not matches:
        raise StoreError(f"There is no {noun} {text!r}. {hint}")
    if len(matches) > 1:
        more = f" and {len(matches) - 5} more" if len(matches) > 5 else ""
        raise StoreError(
            f"{text} is the beginning of several {noun}s: {', '.join(matches[:5])}{more}. Say more of it."
        )
    return matches[0]


def run_fingerprint(run_id: str, root: Path | None = None) -> str:
    """Return what changes whenever a file of the run does; also for a run that is not there."""
    folder = (root or results_folder()) / run_id
    with suppress(OSError, ValueError):  # ValueError: a name that no folder can have
        paths = sorted(path for path in folder.iterdir() if path.name[0] != ".")
        return _digest([str(folder), *(f"{path.name} {_state(path)}" for path in paths)])
    return _digest([str(folder)])


def results_fingerprint(root: Path | None = None) -> str:
    """Return what changes whenever a run is added, removed, renamed or finished, or gets an answer.

    Raises StoreError.
    """
    root = root or results_folder()
    parts = [str(root)]
    with as_store_error(f"{root} cannot be read", "HYBRID_RESULTS names another folder of results."):
        try:
            names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            names = []
    for name in names:
        parts += [name, _state(root / name / RUN), _state(root / name / RECORDS)]
    return _digest(parts)


def _state(path: Path) -> str:
    try:
        status = path.lstat()
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return ""
    return f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"


def _digest(parts: list[str]) -> str:
    return sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
