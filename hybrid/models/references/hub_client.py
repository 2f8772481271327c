"""How huggingface_hub is asked: quietly, with its failures as sentences and its progress as events."""

import errno
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid.errors import PairError
from hybrid.format import percent, printable, size
from hybrid.models.manifest import file_sha256
from hybrid.schema import Observer, Status

TELL_EVERY_S = 0.3
HALF = ".half.incomplete"  # behind the name of a large file in the cache, while it is fetched
FULL = (errno.ENOSPC, errno.EDQUOT)


class Unreachable(Exception):
    """No answer of the Hub; its text is why."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep huggingface_hub from writing on stderr of what is told or mended anyway."""
    from huggingface_hub.utils import logging as hub_logging

    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hub_logging.set_verbosity(level)


@dataclass
class Meter:
    """How far a download is. planned, done: bytes."""

    planned: int
    reference: str
    observer: Observer
    done: int = 0
    told_s: float = float("-inf")

    def add(self, count: int) -> None:
        """Count bytes, and tell of them now and then."""
        self.done += count
        if time.monotonic() - self.told_s >= TELL_EVERY_S:
            self.told_s = time.monotonic()
            share = percent(self.done / self.planned) if self.planned else ""
            sentence = f"Fetching {self.reference}: {size(self.done)} of {size(self.planned)} ({share})"
            self.observer(Status(sentence=sentence))


def progress_bar(meter: Meter | None) -> Any:
    """Make what huggingface_hub takes for a class of progress bars, of tqdm's shape."""

    class Bar:
        def __init__(self, *_: Any, **__: Any) -> None:
            """Take whatever a bar is given."""

        def update(self, n: float | None = 1) -> None:
            if meter is not None:
                meter.add(int(n or 0))

        def __getattr__(self, _: str) -> Callable[..., None]:
            return lambda *_, **__: None

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is drawn."""

    return Bar


def fetch_blob(name: str, file: str, commit: str, blob: Path, size_bytes: int, meter: Meter) -> bool:
    """Fetch a large file into the cache, and go on where an earlier process was stopped.

    blob: where it lies in the cache, named by its SHA-256; it gets this name when it is whole.
    Gives False, and nothing is left, when other bytes came. Raises what huggingface_hub does; what
    has come stays, unless the disk is full.
    """
    from filelock import FileLock
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # but documented

    half, model = blob.with_name(blob.name + HALF), blob.parents[1]
    lock = model.parent / ".locks" / model.name / f"{blob.name}.lock"  # huggingface_hub's own
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    url = hf_hub_url(name, file, revision=commit, endpoint=endpoint())
    with FileLock(lock):
        if blob.exists():
            return True
        try:
            with half.open("ab") as stream:
                if (begun := stream.tell()) > size_bytes:
                    begun = stream.truncate(0)
                meter.add(begun)
                settings: Any = {"expected_size": size_bytes, "tqdm_class": progress_bar(meter)}
                http_get(url, stream, resume_size=begun, headers=build_hf_headers(), **settings)
        except OSError as error:
            if error.errno in FULL:
                half.unlink()
            raise
        whole = file_sha256(half) == blob.name
        if whole:
            half.replace(blob)
        else:
            half.unlink()
        return whole


@contextmanager
def plain_errors(name: str, reference: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into a PairError; Unreachable where nobody answers."""
    from huggingface_hub import errors

    page = f"{endpoint() or 'https://huggingface.co'}/{name}"
    try:
        yield
    except PairError:
        raise
    except errors.GatedRepoError as error:
        raise PairError(
            f"{reference} is open only to those who were granted access: ask at {page} and run "
            "`hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise PairError(f"{reference}: the Hub has no such revision of {name}; see {page}.") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise PairError(
            f"The Hub has no model {name!r}, or keeps it private; names are like org/name, and a folder is "
            "named by its path."
        ) from error
    except OSError as error:
        if error.errno in FULL:
            raise PairError(
                f"The disk is full: {reference} was not fetched whole; make room and ask again, complete "
                "files stay."
            ) from error
        raise Unreachable(_reason(error)) from error
    except Exception as error:  # the HTTP client below huggingface_hub differs between its versions
        raise Unreachable(_reason(error)) from error


def _reason(error: Exception) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return printable(re.sub(r"^\[Errno -?\d+\] ", "", first), 200).rstrip(".")


def endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def constants() -> Any:
    from huggingface_hub import constants

    return constants
