"""What takes a while to compute of a complete run is computed once and kept in the cache folder.

A file is named by what it depends on: the run's stamp and the product's version. Whatever
is wrong with one, or with the folder, it is computed anew. Deleting them costs nothing but time.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

from hybrid.measuring.environment import product_version
from hybrid.store import run_fingerprint
from hybrid.store.files import open_atomic
from hybrid.store.folders import ROOT, cache_folder
from hybrid.store.typed_json import decode, encode

T = TypeVar("T")
FOLDER = "views"
MOST_FILES = 2000  # of the folder; the oldest go first


def cached(
    what: str,
    run_id: str,
    compute: Callable[[], T],
    read: Callable[[Path], T],
    write: Callable[[T, IO[bytes]], None],
    root: Path | None = None,
) -> T:
    """Return what compute() gives, from its file when there is one that read() can read.

    what: names the kind and its format's version; its suffix is the file's.
    """
    folder = cache_folder() / FOLDER
    kind, version = Path(what), product_version(ROOT)
    path = folder / f"{kind.stem}-{version}-{run_id[:60]}-{run_fingerprint(run_id, root)}{kind.suffix}"
    with suppress(Exception):  # of another version, cut short, not readable: the run itself is there
        return read(path)
    value = compute()
    with suppress(OSError, ValueError):  # ValueError: what JSON cannot hold
        folder.mkdir(parents=True, exist_ok=True)
        with open_atomic(path, durable=False) as file:
            write(value, file)
        _prune(folder)
    return value


def cached_json(
    what: str, run_id: str, kind: type[T], compute: Callable[[], T], root: Path | None = None
) -> T:
    """Return what compute() gives, a dataclass, as cached() does; the file is JSON."""

    def read(path: Path) -> T:
        return decode(kind, path.read_bytes())

    def write(value: T, file: IO[bytes]) -> None:
        file.write(encode(value))

    return cached(what, run_id, compute, read, write, root)


def _prune(folder: Path) -> None:
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    for path in files[:-MOST_FILES]:
        path.unlink(missing_ok=True)
