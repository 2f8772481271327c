"""A run from elsewhere becomes a stored run: what comes is taken for hostile until it has been read.

Its three files, and nothing else, are written into a hidden folder inside the
results, under names that are our own. Only when RunReader can read them there
does the folder get its place, in one step; whatever goes wrong before leaves
nothing behind.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZipFile

from hybrid.errors import StoreError
from hybrid.store.archive import LARGEST_RUN, Readable, opened_archive
from hybrid.store.codec import without_suite_folders
from hybrid.store.files import LARGEST_RUN_FILE, as_store_error, open_regular, read_small, sync_folder
from hybrid.store.folders import EXAMPLES, LATEST, LOCK, RECORDS, RUN, RUN_ID, results_folder
from hybrid.store.journal import LONGEST_LINE
from hybrid.store.reading import RunReader, find_run, read_run
from hybrid.store.run_lock import claim_folder, new_run_id
from hybrid.store.scores import SCORES, score_files

FILES = (RUN, EXAMPLES, RECORDS)
_PIECE = 1 << 16
_TAKEN = re.compile(f"{LATEST}|grids|devices", re.IGNORECASE)  # have another meaning among results
_LONGEST_ID = 120  # of the 128 characters that there may be, so that other digits fit behind it
_MOST_FILES = 100  # of a run: one for each metric, and few more


def write_archive(run_id: str, file: IO[bytes], root: Path | None = None) -> None:
    """Write a stored run as the .zip that import_archive() takes. run_id: as find_run() understands it.

    Raises StoreError when the run cannot be read.
    """
    root = root or results_folder()
    folder = root / find_run(run_id, root)
    scores = {} if read_run(folder)[0].plan.private else score_files(folder)
    with as_store_error(f"Run {folder.name} cannot be read"), ZipFile(file, "w", ZIP_DEFLATED) as archive:
        run = without_suite_folders(read_small(folder / RUN))
        archive.writestr(f"{folder.name}/{RUN}", run, ZIP_DEFLATED)
        for name in (*FILES[1:], *(path.name for path in scores.values())):
            with open_regular(folder / name) as source, archive.open(f"{folder.name}/{name}", "w") as packed:
                shutil.copyfileobj(source, packed, _PIECE)


def import_archive(stream: IO[bytes], root: Path | None = None) -> tuple[str, tuple[str, ...]]:
    """import_run() of a .zip that holds the folder of one run, or only its files.

    stream: seekable. Raises StoreError also for an archive that is damaged, holds
    anything else, or is too large unpacked.
    """
    with opened_archive(stream, _is_part, passed_over=(LOCK,)) as (folder, files):
        return import_run(files, root, folder)


def import_run(
    files: Mapping[str, bytes | Readable], root: Path | None = None, name: str = ""
) -> tuple[str, tuple[str, ...]]:
    """Store the run whose files are given by name: run.json, examples.jsonl, records.jsonl, and scores.

    name: of the folder they were in; without one that can be an id run.json says
    it. An id that is taken gets other digits: no run is ever overwritten.

    Returns the run's id, and a sentence for each thing that is damaged: such lines
    are kept and passed over. Raises StoreError when it is no run that can be read.
    """
    root = root or results_folder()
    _check_names(files)
    with as_store_error("The run cannot be imported", "HYBRID_RESULTS names another folder."):
        root.mkdir(parents=True, exist_ok=True)
        with _aside(root) as folder:
            room = LARGEST_RUN
            for part in (*FILES, *sorted(files.keys() - {*FILES})):
                room -= _copy(files[part], folder / part, room)
            sync_folder(folder)
            problems = _checked(folder)
            place = _moved(folder, root, name)
        sync_folder(root)
    return place.name, tuple(_placed(problem, folder, place) for problem in problems)


def _placed(problem: str, folder: Path, place: Path) -> str:
    """Name in a sentence the run where it lies now."""
    return problem.replace(str(folder), str(place)).replace(f" score {folder.name}`", f" score {place.name}`")


def _is_part(name: str) -> bool:
    return name in FILES or SCORES.fullmatch(name) is not None


def _check_names(files: Mapping[str, object]) -> None:
    parts = ", ".join(FILES)
    if unknown := [name for name in files if not _is_part(name)]:
        raise StoreError(
            f"The run is not imported: it consists of {parts}; {unknown[0][:100]!r} is no part of it."
        )
    if len(files) > _MOST_FILES:
        raise StoreError(
            f"The run is not imported: it has {len(files)} files and {_MOST_FILES} are the most."
        )
    if missing := [name for name in FILES if name not in files]:
        raise StoreError(f"The run is not imported: it consists of {parts}; missing: {', '.join(missing)}.")


@contextmanager
def _aside(root: Path) -> Iterator[Path]:
    """Make an empty folder `run` where no reader of results looks; in the end gone, unless it was moved."""
    hidden = root / f".import-{secrets.token_hex(8)}"
    (hidden / "run").mkdir(parents=True)
    try:
        yield hidden / "run"
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _copy(content: bytes | Readable, path: Path, room: int) -> int:
    """Write what is given and return its bytes, of which there may be `room`."""
    name = path.name
    most = min(room, LARGEST_RUN_FILE) if name == RUN else room
    source = BytesIO(content) if isinstance(content, bytes) else content
    size = line = 0
    with path.open("xb") as file:
        while piece := source.read(_PIECE):
            size += len(piece)
            begun = line + len(piece)
            line = len(piece) - piece.rfind(b"\n") - 1 if b"\n" in piece else begun
            if size > most:
                raise StoreError(f"The run is not imported: {name} has more than the {most:,} bytes it may.")
            if name != RUN and begun > LONGEST_LINE:
                raise StoreError(
                    f"The run is not imported: a line of {name} has over {LONGEST_LINE:,} bytes."
                )
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return size


def _checked(folder: Path) -> list[str]:
    """List what is damaged in the run. Raises StoreError when it cannot be read, or is of different runs."""
    try:
        reader = RunReader(folder.name, folder.parent)
        records = sum(map(len, reader.rows()))
    except StoreError as error:
        raise StoreError(f"The run is not imported: {str(error).replace(f'{folder}{os.sep}', '')}") from error
    plan, planned, examples = reader.run.plan, reader.run.planned, len(reader.examples)
    each = plan.repeats * len(plan.systems)
    why = ""
    if plan.private and score_files(folder):
        why = "it is private, and scores in files of their own hold checksums of texts: leave those out"
    elif not examples:
        why = f"{EXAMPLES} holds no example that can be read"
    elif planned < examples * each or (planned > examples * each and not reader.problems):
        why = f"{RUN} plans {planned:,} answers and {examples:,} examples make {examples * each:,}"
    elif not records and reader.problems:
        why = f"no answer in {RECORDS} can be read as one to an example in {EXAMPLES}, by a system in {RUN}"
    if why:
        raise StoreError(f"The run is not imported: {why}. Give the three files of one run.")
    return reader.problems


def _moved(folder: Path, root: Path, name: str) -> Path:
    """Move the folder to its place among the results, and return that."""
    run, header = read_run(folder)
    run_id = _usable(name) or _usable(header.run_id) or new_run_id(run.plan, datetime.now(UTC))
    place = claim_folder(root, run_id)
    try:
        return folder.rename(place)  # onto an empty folder, which is no run and is taken by no other process
    except OSError:
        with suppress(OSError):
            place.rmdir()
        raise


def _usable(name: str) -> str:
    return name[:_LONGEST_ID] if RUN_ID.fullmatch(name) and not _TAKEN.fullmatch(name) else ""
