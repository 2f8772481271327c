"""A job as people watch it: what it is doing, how far it is, and how fast its systems have been so far.

Only what was written since the last look is read: watching a measurement must not disturb it.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Literal

from hybrid.benchmark.jobs import Job
from hybrid.benchmark.jobs.folder import last_lines, moment
from hybrid.benchmark.progress import Progress, SoFar
from hybrid.errors import StoreError
from hybrid.measuring.lock import holder
from hybrid.schema import Record, Run, System
from hybrid.store import results_folder
from hybrid.store.codec import decode_record
from hybrid.store.files import open_regular
from hybrid.store.folders import RECORDS
from hybrid.store.reading import read_run

State = Literal[
    "starting", "loading", "measuring", "finishing", "cancelling", "finished", "cancelled", "failed"
]
STOPPED = (130, 143, -2, -15)  # how a command ends that was told to: by itself, or before it could
WAITING = "Waiting. "  # how the command's sentence begins while something else measures


@dataclass(frozen=True)
class Running:
    """What a page shows of a job. sentence: may hold names from elsewhere.

    done, planned: answers; planned is 0 until it is known. eta_s: seconds left of
    the answers, as far as their pace is known. run: as far as it is stored.
    """

    state: State
    sentence: str
    done: int = 0
    planned: int = 0
    eta_s: float | None = None
    speedups: Mapping[System, SoFar] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    run: Run | None = None

    @property
    def share(self) -> float:
        """Of the answers, from 0 to 1."""
        return min(1.0, self.done / self.planned) if self.planned else 0.0


class Watch:
    """Follows one job; one for all visitors, as it remembers how far it has read."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or results_folder()
        self._one_at_a_time = threading.Lock()
        self._run: Run | None = None
        self._progress: Progress | None = None
        self._read = 0  # bytes of records.jsonl
        self._fresh = False  # whether the job has measured anything itself

    def look(self, job: Job) -> Running:
        """The job as it is now. job: the same one each time, as hybrid.benchmark.jobs.latest() gives it."""
        with self._one_at_a_time:
            with suppress(StoreError, OSError):  # not there yet, not there any more, or damaged
                self._follow(job)
            log = tuple(last_lines(job))
            if self._run is None or self._progress is None:
                state = self._state(job, 0, 0)
                return Running(state, _sentence(state, job, log), log=log)
            done, planned = self._progress.done, self._progress.planned
            state, eta_s = self._state(job, done, planned), self._progress.eta_s if job.alive else None
            sentence = _sentence(state, job, log, done, planned, eta_s)
            return Running(state, sentence, done, planned, eta_s, self._progress.so_far, log, self._run)

    def _follow(self, job: Job) -> None:
        if job.run_id is None:
            return
        folder = self._root / job.run_id
        if not job.alive:  # its end is written at the end, and what failed at once is removed
            self._run = None
        if self._run is None:
            self._run, _ = read_run(folder)
        if self._progress is None:
            self._progress = Progress(self._run.plan, self._run.planned)
        began = moment(job.started_at)
        known = set(self._run.plan.systems)
        records = (record for record in self._new_records(folder / RECORDS) if record.system in known)
        for _, turn in groupby(records, key=lambda one: (one.repeat, one.batch, one.system)):
            rows = list(turn)
            at = moment(rows[0].started_at)
            if at < began:  # of before it was resumed
                self._progress.count(rows)
                continue
            self._progress.add(rows, at.timestamp() + rows[0].generation.timing.total_s)
            self._fresh = True

    def _new_records(self, path: Path) -> Iterator[Record]:
        """Those on whole lines that were not read before; a damaged line is left to who reads the run."""
        with open_regular(path) as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                with suppress(ValueError):
                    record = decode_record(line)
                    moment(record.started_at)
                    yield record

    def _state(self, job: Job, done: int, planned: int) -> State:
        if job.alive:
            if job.cancelled_at is not None:
                return "cancelling"
            if self._fresh or (self._run and done >= planned):
                return "finishing" if done >= planned else "measuring"
            held = holder()
            return "loading" if held is not None and held.pid == job.pid else "starting"
        if self._run is not None and self._run.finished_at is not None:
            return "finished"
        told = job.cancelled_at is not None or job.exit_code in STOPPED
        return "cancelled" if told else "failed"


def _sentence(
    state: State, job: Job, log: tuple[str, ...], done: int = 0, planned: int = 0, eta_s: float | None = None
) -> str:
    kept = f"{done:,} of {planned:,} answers are stored; the rest can be measured later."
    left = "" if eta_s is None else f", about {timedelta(seconds=round(eta_s))} left"
    last = log[-1] if log else ""
    sentences: Mapping[State, str] = {
        "starting": last if last.startswith(WAITING) else "Starting: reading the suite, checking the pair.",
        "loading": "Loading the models and warming up, which is not part of any measured time.",
        "measuring": f"Measuring: {done:,} of {planned:,} answers{left}.",
        "finishing": f"All {planned:,} answers are measured. Now the peak memory of each system.",
        "cancelling": "Ending. What was measured is kept.",
        "finished": f"All {planned:,} answers are stored.",
        "cancelled": f"Cancelled. {kept}" if planned else "Cancelled before anything was measured.",
        "failed": f"{_why(job, log)}{f' {kept}' if planned else ''}",
    }
    return sentences[state]


def _why(job: Job, log: tuple[str, ...]) -> str:
    """The command's own sentence, or what else is known of its end."""
    for line in reversed(log):
        if line.lower().startswith("error: "):
            return line[len("error: ") :]
    if job.exit_code is not None and job.exit_code < 0:
        return f"It was killed by signal {-job.exit_code}."
    if log:
        return f"It ended unexpectedly. The last line of its log: {log[-1]}"
    return "It ended without a word; somebody may have killed it."
