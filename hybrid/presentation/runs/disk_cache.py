"""What takes a while to compute of a complete run is computed once and kept in the cache folder.

A file is named by what it depends on: the run's stamp and the product's version, and begins with
the SHA-256 of its name and content: bytes that are others than were written are never read, because
what reads tables ends the process at some of them. Whatever is wrong with one, or with the folder,
it is computed anew. Deleting them costs nothing but time.
"""

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, TypeVar

from hybrid.measuring.environment import product_version
from hybrid.store import run_fingerprint
from hybrid.store.files import make_private, open_atomic, open_regular
from hybrid.store.folders import LONGEST_IN_VIEW, ROOT, VIEWS, cache_folder
from hybrid.store.typed_json import decode, encode

T = TypeVar("T")
MOST_FILES = 2000  # of the folder; the oldest go first


def cached(
    what: str,
    run_id: str,
    compute: Callable[[], T],
    read: Callable[[IO[bytes]], T],
    write: Callable[[T, IO[bytes]], None],
    root: Path | None = None,
) -> T:
    """Return what compute() gives, from its file when that holds what write() wrote.

    what: names the kind and its format's version; its suffix is the file's.
    """
    folder = cache_folder() / VIEWS
    kind, version = Path(what), product_version(ROOT)
    of_run = f"{run_id[:LONGEST_IN_VIEW]}-{run_fingerprint(run_id, root)}"
    path = folder / f"{kind.stem}-{version}-{of_run}{kind.suffix}"
    with suppress(Exception):  # of another version, cut short, not readable: the run itself is there
        return read(BytesIO(_content(path)))
    value = compute()
    with suppress(OSError, ValueError):  # ValueError: what JSON cannot hold
        content = BytesIO()
        write(value, content)
        make_private(folder)
        with open_atomic(path, durable=False) as file:
            file.write(_digest(path, content.getbuffer()))
            file.write(content.getbuffer())
        _prune(folder)
    return value


def cached_json(
    what: str, run_id: str, kind: type[T], compute: Callable[[], T], root: Path | None = None
) -> T:
    """Return what compute() gives, a dataclass, as cached() does; the file is JSON."""

    def read(file: IO[bytes]) -> T:
        return decode(kind, file.read())

    def write(value: T, file: IO[bytes]) -> None:
        file.write(encode(value))

    return cached(what, run_id, compute, read, write, root)


def _content(path: Path) -> memoryview:
    """Read what was written. Raises OSError, or ValueError where it is something else."""
    with open_regular(path) as file:
        data = memoryview(file.read())
    digest, content = data[: sha256().digest_size], data[sha256().digest_size :]
    if digest != _digest(path, content):
        raise ValueError(f"{path} is damaged")
    return content


def _digest(path: Path, content: memoryview) -> bytes:
    digest = sha256(path.name.encode())
    digest.update(content)
    return digest.digest()


def _prune(folder: Path) -> None:
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    for path in files[:-MOST_FILES]:
        path.unlink(missing_ok=True)
