"""A job as its folder tells it, and whether it still runs.

Each thing that becomes known later is a file of its own, written once, so that
several servers may watch and write without ever disagreeing.
"""

import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hybrid.measuring.lock import holder
from hybrid.store import results_folder
from hybrid.store.files import atomic_write, open_regular, read_small
from hybrid.store.folders import APP, ROOT, RUN_ID

JOBS = ".jobs"
JOB, STDOUT, STDERR = "job.json", "stdout", "stderr"
RUN, CANCELLED, ENDED = "run", "cancelled", "ended"
JOB_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
COMMAND = (sys.executable, "-m", "hybrid.cli")
GRACE_S = 15.0  # from SIGTERM to SIGKILL
LARGEST = 2**16  # bytes of a file that is read whole
PROC = Path("/proc")


@dataclass(frozen=True)
class Job:
    """One measurement that was started, as it was when it was looked at.

    command: the whole command line. started_at: UTC, ISO 8601. run_id: None until
    it is known. cancelled_at: when it was told to end. exit_code: negative for a
    signal; None while it runs, and where nobody saw it end.
    """

    folder: Path
    command: tuple[str, ...]
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

    @property
    def resumes(self) -> bool:
        """Whether it goes on with a run that was there before."""
        return any(argument.startswith("--resume=") for argument in self.command)


def latest(root: Path | None = None) -> Job | None:
    """The job that runs, else the one that was started last; None without any.

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
    """The job that runs now, whoever started it."""
    job = latest(root)
    return job if job is not None and job.alive else None


def job_folders(root: Path | None = None) -> list[Path]:
    """The newest first; none when there is no such folder, or it cannot be read."""
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
        row = json.loads(read_small(folder / JOB, LARGEST))
        command, pid = tuple(map(str, row["command"])), row["pid"]
        suite, started_at = str(row["suite"]), str(row["started_at"])
        moment(started_at)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # 0 and -1 would be many processes; who writes a job.json must not choose what is ended in our name
    if type(pid) is not int or pid < 2 or command[1:4] != ("-m", "hybrid.cli", "bench"):
        return None
    code = _text(folder / ENDED)
    ended = int(code) if code and re.fullmatch(r"-?\d{1,3}", code) else None
    alive = ended is None and _alive(pid, command)
    run_id, cancelled_at = _run_id(folder, pid, alive), _text(folder / CANCELLED)
    return Job(folder, command, suite, pid, started_at, alive, run_id, cancelled_at, ended)


def end_overdue(job: Job) -> None:
    """Kill a job that was cancelled a while ago and still runs, with all that it has started."""
    with suppress(OSError, ValueError):
        if job.cancelled_at is None or not _alive(job.pid, job.command):
            return
        if (datetime.now(UTC) - moment(job.cancelled_at)).total_seconds() < GRACE_S:
            return
        if os.getpgid(job.pid) == job.pid:  # as every job was started; else its group is somebody's shell
            os.killpg(job.pid, signal.SIGKILL)
        else:
            os.kill(job.pid, signal.SIGKILL)


def last_lines(job: Job, name: str = STDERR, most: int = 200) -> list[str]:
    """The end of what a job has written, as plain lines."""
    try:
        with open_regular(job.folder / name) as file:
            start = max(0, os.fstat(file.fileno()).st_size - LARGEST)
            file.seek(start)
            text = file.read(LARGEST).decode("utf-8", "replace")
    except OSError:
        return []
    lines = text.splitlines()[1 if start else 0 :]
    return ["".join(c if c.isprintable() else "�" for c in line.expandtabs()) for line in lines[-most:]]


def moment(text: str) -> datetime:
    """An ISO 8601 time; without a zone it is UTC. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def surroundings(root: Path | None = None) -> dict[str, str]:
    """The environment of a command: this process's results and temporary folder, and this clone."""
    changed = {"TMPDIR": tempfile.gettempdir()}  # where the lock on the machine is
    if root is not None:
        changed["HYBRID_RESULTS"] = str(root.resolve())
    if APP.is_file():  # a clone need not be installed
        changed["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **changed}


def _alive(pid: int, command: tuple[str, ...]) -> bool:
    """Whether that very command runs: the number may be another's by now, and a zombie has no command."""
    if (PROC / "self" / "cmdline").exists():
        try:
            said = (PROC / str(pid) / "cmdline").read_bytes()
        except OSError:
            return False
        return said == b"".join(os.fsencode(argument) + b"\0" for argument in command)
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _run_id(folder: Path, pid: int, alive: bool) -> str | None:
    """As the job printed it at its end; until then as it noted it when it took the machine's lock."""
    for said in (*_last(folder / STDOUT), _text(folder / RUN)):
        if said and RUN_ID.fullmatch(said):
            return said
    measuring = holder() if alive else None
    if measuring is None or measuring.pid != pid or not RUN_ID.fullmatch(measuring.run_id):
        return None
    with suppress(OSError):  # known now, if not next time
        atomic_write(folder / RUN, measuring.run_id.encode())
    return measuring.run_id


def _last(path: Path) -> Iterator[str]:
    """The last line, when it is whole."""
    text = _text(path, strip=False) or ""
    if text.endswith("\n"):
        yield text.rstrip("\n").rpartition("\n")[2]


def _text(path: Path, strip: bool = True) -> str | None:
    """What a small file holds; None when it is not there or not to be believed."""
    try:
        text = read_small(path, LARGEST).decode("utf-8", "replace")
    except OSError:
        return None
    return text.strip() if strip else text
