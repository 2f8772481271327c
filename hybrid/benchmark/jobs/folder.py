"""A job as its folder tells it, and whether it still runs.

Each thing that becomes known later is a file of its own, written once, so that
several servers may watch and write without ever disagreeing; but events, which are JSON lines: what a
benchmark's process writes and whoever watches it reads.
"""

import json
import os
import re
import shlex
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import get_args

import psutil

from hybrid.errors import StoreError
from hybrid.schema import Event, Started
from hybrid.store import results_folder
from hybrid.store.files import atomic_write, open_regular, read_small
from hybrid.store.folders import APP, ROOT, RUN_ID, runtime_folder
from hybrid.store.typed_json import convert, decode

_KINDS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
_EVENT = "event"  # the key that names the kind
JOBS = ".jobs"
JOB, PLAN, EVENTS, STDOUT, STDERR = "job.json", "plan.json", "events.jsonl", "stdout", "stderr"
RUN, CANCELLED, ENDED = "run", "cancelled", "ended"
JOB_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
COMMAND = (sys.executable, "-m", "hybrid.cli")
GRACE_S = 15.0  # from SIGTERM to SIGKILL
LARGEST = 2**16  # bytes of a file that is read whole


def encode_event(event: Event) -> bytes:
    return json.dumps({_EVENT: type(event).__name__, **asdict(event)}).encode() + b"\n"


def decode_event(line: bytes) -> Event:
    """Decode a line into its event. Raises ValueError for what is no event that this version knows."""
    try:
        row = json.loads(line)
        return convert(_KINDS[row.pop(_EVENT)], row)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no event: {error}") from error


class EventLog:
    """An observer that appends each event to a file as a line. Raises StoreError where there can be none.

    A line that cannot be written later, as on a full disk, is lost: watching must not end a measurement.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise StoreError(f"Events cannot be written to {path}: {error.strerror or error}.") from error

    def __call__(self, event: Event, /) -> None:
        with suppress(OSError):
            os.write(self._descriptor, encode_event(event))

    def __enter__(self) -> "EventLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def read_events(path: Path, start: int = 0, most: int = -1) -> tuple[list[Event], int]:
    """Read the events on whole lines from the byte `start` on, and tell where the next ones begin.

    most: bytes to look at, -1 for all. Lines that are damaged, or of a newer
    version, are left out. Raises OSError.
    """
    events: list[Event] = []
    with open_regular(path) as file:
        file.seek(start)
        data = file.read(most)
    end = data.rfind(b"\n") + 1
    for line in data[:end].splitlines():
        with suppress(ValueError):
            events.append(decode_event(line))
    return events, start + end


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """What job.json holds: see Job."""

    command: tuple[str, ...]
    suite: str
    pid: int
    started_at: str
    shown: str = ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One measurement that was started, as it was when it was looked at.

    command: the whole command line. shown: the same, as anyone can type it.
    started_at: UTC, ISO 8601. run_id: None until it is known. cancelled_at: when
    it was told to end. exit_code: negative for a signal; None while it runs, and
    where nobody saw it end.
    """

    folder: Path
    command: tuple[str, ...]
    shown: str
    suite: str
    pid: int
    started_at: str
    alive: bool
    run_id: str | None = None
    cancelled_at: str | None = None
    exit_code: int | None = None

    @property
    def job_id(self) -> str:
        return self.folder.name


def latest(root: Path | None = None) -> Job | None:
    """Return the job that runs, else the one that was started last; None without any.

    What becomes known of it meanwhile is stored with it.
    """
    newest = None
    for folder in job_folders(root):
        if newest is not None and (folder / ENDED).exists():
            continue  # pages ask this every few seconds while something is measured
        job = read_job(folder)
        if job is not None and job.alive:
            end_overdue(job)
            return job
        newest = newest or job
    return newest


def current(root: Path | None = None) -> Job | None:
    """Return the job that runs now, whoever started it."""
    job = latest(root)
    return job if job is not None and job.alive else None


def job_folders(root: Path | None = None) -> list[Path]:
    """List the jobs' folders, newest first; none when there is no such place, or it cannot be read."""
    folder = (root or results_folder()) / JOBS
    if folder.is_symlink():
        return []
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if JOB_ID.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names, reverse=True)]


def read_job(folder: Path) -> Job | None:
    """None for a folder that says nothing that can be believed: a damaged one hides no other."""
    try:
        noted = decode(JobFile, read_small(folder / JOB, LARGEST))
        moment(noted.started_at)
    except (OSError, ValueError):
        return None
    # 0 and -1 would be many processes; who writes a job.json must not choose what is ended in our name
    command, pid = noted.command, noted.pid
    if pid < 2 or command[1:4] != ("-m", "hybrid.cli", "bench"):
        return None
    code = _text(folder / ENDED)
    exit_code = int(code) if code and re.fullmatch(r"-?\d{1,3}", code) else None
    return Job(
        folder=folder,
        command=command,
        shown=noted.shown or shlex.join(("hybrid", *command[3:])),
        suite=noted.suite,
        pid=pid,
        started_at=noted.started_at,
        alive=exit_code is None and process_of(pid, command) is not None,
        run_id=_run_id(folder),
        cancelled_at=_text(folder / CANCELLED),
        exit_code=exit_code,
    )


def process_of(pid: int, command: tuple[str, ...]) -> psutil.Process | None:
    """Find the process of that number if it is that very command's: it may be another's now, or a zombie."""
    with suppress(psutil.Error, OverflowError):
        process = psutil.Process(pid)
        if tuple(process.cmdline()) == command:
            return process
    return None


def end_overdue(job: Job) -> None:
    """Kill a job that was cancelled a while ago and still runs, with all that it has started."""
    with suppress(ValueError, psutil.Error):
        process = process_of(job.pid, job.command)
        if process is None or job.cancelled_at is None:
            return
        if (datetime.now(UTC) - moment(job.cancelled_at)).total_seconds() < GRACE_S:
            return
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                each.kill()


def last_lines(job: Job, name: str = STDERR, most: int = 200) -> list[str]:
    """Return the end of what a job has written, as plain lines."""
    try:
        with open_regular(job.folder / name) as file:
            start = max(0, os.fstat(file.fileno()).st_size - LARGEST)
            file.seek(start)
            lines = file.read(LARGEST).splitlines()[1 if start else 0 :]  # of bytes: at line ends only
    except OSError:
        return []
    texts = (line.decode("utf-8", "replace").expandtabs() for line in lines[-most:])
    return ["".join(c if c.isprintable() else "�" for c in text) for text in texts]


def moment(text: str) -> datetime:
    """Parse an ISO 8601 time; without a zone it is UTC. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def child_environment(root: Path | None = None) -> dict[str, str]:
    """Make the environment of a command: this process's results and lock, and this clone."""
    changed = {"HYBRID_RUNTIME": str(runtime_folder().resolve())}
    if root is not None:
        changed["HYBRID_RESULTS"] = str(root.resolve())
    if APP.is_file():  # a clone need not be installed
        changed["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **changed}


def _run_id(folder: Path) -> str | None:
    """As the job's events tell it, and noted then; of a run that goes on, from the start."""
    if (noted := _text(folder / RUN)) and RUN_ID.fullmatch(noted):
        return noted
    with suppress(OSError):
        for event in read_events(folder / EVENTS, most=LARGEST)[0]:
            if isinstance(event, Started) and RUN_ID.fullmatch(event.run_id):
                atomic_write(folder / RUN, event.run_id.encode())
                return event.run_id
    return None


def _text(path: Path) -> str | None:
    """Return what a small file holds; None when it is not there or not to be believed."""
    try:
        return read_small(path, LARGEST).decode("utf-8", "replace").strip()
    except OSError:
        return None
