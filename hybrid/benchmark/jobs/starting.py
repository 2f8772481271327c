"""Jobs: what one is asked to do and in which engines it can; started one at a time, and ended.

A measurement and the server that started it keep to different cores: many visitors
on the cores of a measurement would be measured with it. Only Linux lets a process
choose; elsewhere, and where every core is needed, nothing is done.
"""

import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil

from hybrid.benchmark.jobs.folder import (
    CANCELLED,
    COMMAND,
    ENDED,
    EVENTS,
    GRACE_S,
    JOB,
    JOBS,
    PLAN,
    RUN,
    STDERR,
    STDOUT,
    Job,
    child_environment,
    current,
    end_overdue,
    job_folders,
    now,
    read_job,
)
from hybrid.benchmark.plan_options import bench_command
from hybrid.benchmark.plans import check_plan, check_suite_name, encode_plan
from hybrid.benchmark.private import how_to_resume, shown_plan
from hybrid.errors import BusyError, EngineError, HybridError, StoreError, SuiteError
from hybrid.measuring.lock import LIVE, holder
from hybrid.schema import Plan
from hybrid.schema.runs import UNNAMED, without_folders
from hybrid.store import check_writable, results_folder
from hybrid.store.files import as_store_error, atomic_write, make_private, take_lock
from hybrid.store.folders import RUN_ID

PROBE_S = 120.0  # most seconds that probe_engines() waits
KEEP = 20  # folders of jobs
WAIT_S = 120  # for a prompt that is measured on the Live page just then
LOCK = ".lock"
LOCK_S = 10.0


@dataclass(frozen=True, kw_only=True)
class ResumeRequest:
    """Go on with an interrupted run. Raises StoreError for what is no id.

    suite: its suite's name, to be shown. memory: measure peak memory too. threads: of its plan.
    """

    run_id: str
    suite: str
    memory: bool = True
    threads: int = 1

    def __post_init__(self) -> None:
        if not RUN_ID.fullmatch(self.run_id):
            raise StoreError(f"{self.run_id!r} is not the id of a run.")

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of `hybrid bench`."""
        return f"--resume={self.run_id}", *(() if self.memory else ("--no-memory",))


Request = Plan | ResumeRequest


def check_request(request: Request) -> None:
    """Raise HybridError for what the command would refuse, as far as that is known here."""
    if isinstance(request, Plan):
        check_suite_name(request.suite)
        check_plan(request)
    elif request.suite.startswith(UNNAMED):
        raise SuiteError(how_to_resume(request.run_id))


def shell_command(request: Request) -> str:
    """Write the command that does the same, as anyone can type it."""
    if isinstance(request, Plan):
        return bench_command(request)
    return shlex.join(("hybrid", "bench", *request.arguments))


def probe_engines() -> Mapping[str, Mapping[str, str | None]]:
    """Tell by engine and kind of device why it does not run here, None where it does; takes seconds.

    Asked in a process of its own, as several engines import torch to know.

    Raises EngineError when the command that knows fails.
    """
    try:
        answer = subprocess.run(
            [*COMMAND, "engines", "--json"], capture_output=True, check=True, timeout=PROBE_S,
            env=child_environment(), stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return {row["name"]: row["missing"] for row in json.loads(answer.stdout)}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"What runs here is not known: `hybrid engines` failed ({error}).") from error


class Cores(NamedTuple):
    """Numbers of logical CPUs, disjoint."""

    server: frozenset[int]
    measurement: frozenset[int]


def blocking_reason(root: Path | None = None) -> str | None:
    """Why nothing can be started now, in a sentence; None when it can."""
    running = current(root)
    if running is not None:
        since = running.started_at[11:16]
        return f"{running.suite} is being measured here since {since} UTC: wait for it to end, or cancel it."
    held = holder()
    if held is not None and held.run_id != LIVE:
        return f"Another measurement is running on this machine: {held}. Wait for it to end."
    return None


def start(request: Request, root: Path | None = None) -> Job:
    """Start the command in a session of its own, its output in files: it needs neither browser nor server.

    Raises BusyError when something measures here, StoreError when the folder of
    results cannot be written, HybridError where there are no such processes, and
    what check_request() does.
    """
    if not hasattr(os, "posix_spawn"):
        raise HybridError("Measurements cannot be started from the browser on this system; type the command.")
    check_request(request)
    root = root or results_folder()
    check_writable(root)
    with _alone(root):
        if why := blocking_reason(root):
            raise BusyError(why)
        _prune(root)
        stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        folder = root / JOBS / stamp
        folder.mkdir()
        shown = shown_plan(request) if isinstance(request, Plan) else request
        shown = replace(shown, suite=without_folders(shown.suite))  # whoever opens the page sees it
        job = Job(
            folder=folder, command=_command(request, folder.resolve()), shown=shell_command(shown),
            suite=shown.suite, pid=0, started_at=now(), alive=True,
        )  # fmt: skip
        cores = divided_cores(request.threads)
        with started_on(cores.measurement) if cores else nullcontext():
            job = replace(job, pid=_spawn(job, root, request))
        row = {name: getattr(job, name) for name in ("command", "shown", "suite", "pid", "started_at")}
        atomic_write(folder / JOB, json.dumps(row, indent=1).encode())
    # Reaped at once, and how it ended is stored; a server that is stopped meanwhile leaves it to init.
    awaiting = threading.Thread(target=_await, args=(job, cores), name=f"job {stamp}", daemon=True)
    awaiting.start()
    return read_job(folder) or job


def _command(request: Request, folder: Path) -> tuple[str, ...]:
    """Make the command line, and write what it reads into the job's folder."""
    if isinstance(request, ResumeRequest):
        atomic_write(folder / RUN, request.run_id.encode())
        arguments = request.arguments
    elif request.private:  # what it names stands in no file
        arguments = ("--plan=-",)
    else:
        atomic_write(folder / PLAN, encode_plan(request))
        arguments = (f"--plan={folder / PLAN}",)
    return *COMMAND, "bench", *arguments, f"--events={folder / EVENTS}", f"--wait={WAIT_S}"


def cancel(job: Job) -> None:
    """Tell a job to end; returns at once. What it has measured stays, and the run can be resumed.

    Should it not have ended 15 s later, it is killed.
    """
    present = read_job(job.folder)
    if present is None or not present.alive or present.cancelled_at is not None:
        return
    cancelled_at = now()
    with as_store_error("The job cannot be cancelled"):
        atomic_write(job.folder / CANCELLED, cancelled_at.encode())
    with suppress(ProcessLookupError):
        os.kill(present.pid, signal.SIGTERM)
    kill = threading.Timer(GRACE_S + 1, end_overdue, [replace(present, cancelled_at=cancelled_at)])
    kill.daemon = True  # where it does not live to see it, whoever looks at the job next does the same
    kill.start()


def _spawn(job: Job, root: Path, request: Request) -> int:
    """Start the command and return its pid. A private plan goes through a pipe, and its log is not kept.

    A server may be started with signals ignored, as a script's & does; its jobs are not.
    """
    new, plan = os.O_WRONLY | os.O_CREAT | os.O_EXCL, None
    if isinstance(request, Plan) and request.private:
        plan = encode_plan(request)
    source, sink = os.pipe()
    os.write(sink, plan or b"")  # far less than a pipe holds
    os.close(sink)
    given = (os.POSIX_SPAWN_DUP2, source, 0) if plan else (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    log = (os.devnull, os.O_WRONLY) if plan else (str(job.folder / STDERR), new)
    files = [
        given,
        (os.POSIX_SPAWN_OPEN, 1, str(job.folder / STDOUT), new, 0o666),
        (os.POSIX_SPAWN_OPEN, 2, *log, 0o666),
    ]
    try:
        return os.posix_spawn(
            job.command[0], job.command, child_environment(root), file_actions=files,
            setsid=True, setsigmask=[], setsigdef=[signal.SIGINT, signal.SIGTERM],
        )  # fmt: skip
    finally:
        os.close(source)


def _await(job: Job, cores: Cores | None) -> None:
    """Store how a job of this process ended; until then the process keeps off its cores."""
    with suppress(OSError):  # ChildProcessError: somebody else has seen it end
        with keeping_to(cores.server) if cores else nullcontext():
            _, status = os.waitpid(job.pid, 0)
        atomic_write(job.folder / ENDED, str(os.waitstatus_to_exitcode(status)).encode())


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Of all who would start a job in these results, one at a time."""
    with as_store_error(f"No measurement can be started in {root}"):
        make_private(root / JOBS)  # the logs of jobs hold what was measured; no link, either
        lock = take_lock(root / JOBS / LOCK, LOCK_S)
        if lock is None:
            raise BusyError("Somebody else is starting a measurement just now; try again.")
        try:
            yield
        finally:
            lock.release()


def _prune(root: Path) -> None:
    for folder in job_folders(root)[KEEP - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)


def divided_cores(threads: int) -> Cores | None:
    """For a measurement half of this process's cores, at least one a thread; None where that leaves none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    count = min(len(cores) // 2, len(cores) - threads)
    return Cores(frozenset(cores[:count]), frozenset(cores[count:])) if count > 0 else None


@contextmanager
def started_on(cores: Set[int]) -> Iterator[None]:
    """Let what this thread starts inside the block run on these cores."""
    before = os.sched_getaffinity(0)
    _move(0, cores)
    try:
        yield
    finally:
        _move(0, before)


@contextmanager
def keeping_to(cores: Set[int]) -> Iterator[None]:
    """All threads of this process keep to these cores while the block runs, those to come as well."""
    before = os.sched_getaffinity(threading.main_thread().native_id or 0)
    _move_all(cores)
    try:
        yield
    finally:
        _move_all(before)


def _move_all(cores: Set[int]) -> None:
    for thread in psutil.Process().threads():
        _move(thread.id, cores)


def _move(thread: int, cores: Set[int]) -> None:
    with suppress(OSError):  # it has ended meanwhile, or a sandbox refuses: then they share their cores
        os.sched_setaffinity(thread, cores)
