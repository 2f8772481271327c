"""A job as people watch it: what it is doing, how far it is, and how fast its systems have been so far.

Told by its events; only those that were written since the last look are read,
as watching a measurement must not disturb it.
"""

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from hybrid.benchmark.jobs import Job
from hybrid.benchmark.jobs.folder import EVENTS, last_lines, read_events
from hybrid.errors import StoreError
from hybrid.measuring.probes import busy_clause
from hybrid.schema import (
    Event,
    Failed,
    Finished,
    Interrupted,
    Progress,
    Speedup,
    Started,
    Status,
    System,
    Waiting,
)
from hybrid.store import RunReader, results_folder, run_of
from hybrid.store.folders import suites_folder

State = Literal[
    "starting", "loading", "measuring", "finishing", "cancelling", "finished", "cancelled", "failed"
]
STOPPED = (130, 143, -2, -15)  # how a command ends that was told to: by itself, or before it could


@dataclass(frozen=True, kw_only=True)
class Running:
    """What a page shows of a job. sentence: may hold names from elsewhere.

    run_id: None until it is known. done, planned: answers; planned is 0 until it
    is known. eta_s: seconds left of the answers, as far as their pace is known.
    busy: whether it has ended and its machine was, meanwhile.
    """

    state: State
    sentence: str
    run_id: str | None = None
    done: int = 0
    planned: int = 0
    eta_s: float | None = None
    speedups: Mapping[System, Speedup] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    busy: bool = False

    @property
    def share(self) -> float:
        """Of the answers, from 0 to 1."""
        return min(1.0, self.done / self.planned) if self.planned else 0.0


class Watch:
    """Follows one job; one for all visitors, as it remembers how far it has read."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or results_folder()
        self._one_at_a_time = threading.Lock()
        self._read = 0  # bytes of the events
        self._doing = "Starting"
        self._fresh = False  # whether the job has measured anything itself
        self._progress: Progress | None = None  # of the run, once it has started
        self._speedups: dict[System, Speedup] = {}
        self._failure: Failed | None = None
        self._finished = False
        self._busy: tuple[str, ...] = ()
        self._counted = False  # whether what a job left that ended without a word was counted

    def look(self, job: Job) -> Running:
        """Look at the job as it is now. job: the same one each time, as jobs.latest() gives it."""
        with self._one_at_a_time:
            with suppress(OSError):  # not there yet
                events, self._read = read_events(job.folder / EVENTS, self._read)
                for event in events:
                    self._take(event)
            if not (job.alive or self._finished or self._finished_elsewhere(job) or self._counted):
                self._count_stored(job)
            progress = self._progress or Progress(done=0, planned=0)
            running = Running(
                state=self._state(job),
                sentence="",
                run_id=job.run_id,
                done=progress.done,
                planned=progress.planned,
                eta_s=progress.eta_s if job.alive else None,
                speedups=self._speedups,
                busy=bool(self._busy),
                log=tuple(map(_without_folder, last_lines(job))),
            )
            return replace(running, sentence=self._sentence(job, running))

    def _take(self, event: Event) -> None:
        match event:
            case Status(sentence=sentence) | Waiting(sentence=sentence):
                self._doing = sentence
            case Started() | Interrupted():
                self._progress = Progress(done=event.done, planned=event.planned)
            case Progress():
                self._progress, self._fresh = event, True
                with suppress(ValueError):  # a method of another version
                    self._speedups = {System.parse(name): ratio for name, ratio in event.speedups.items()}
            case Finished(busy=busy):
                self._finished, self._busy = True, busy
            case Failed():
                self._failure = event

    def _finished_elsewhere(self, job: Job) -> bool:
        """See whether somebody has gone on with the run that the job left, and come to its end."""
        if self._progress is None or job.run_id is None:
            return False
        try:
            self._finished = run_of(job.run_id, self._root).finished_at is not None
        except StoreError:
            return False
        if self._finished:
            self._progress = replace(self._progress, done=self._progress.planned)
            self._speedups = {}  # of the job's own part alone
        return self._finished

    def _count_stored(self, job: Job) -> None:
        """See what is left of the run: its last events may be older, and what failed at once is removed."""
        self._counted = True
        if self._progress is None or job.run_id is None:
            return
        try:
            done = sum(map(len, RunReader(job.run_id, self._root).rows()))
            self._progress = replace(self._progress, done=done)
        except StoreError:
            self._progress = None

    def _state(self, job: Job) -> State:
        if job.alive:
            if job.cancelled_at is not None:
                return "cancelling"
            if self._progress is None:
                return "starting"
            if self._progress.done >= self._progress.planned:
                return "finishing"
            return "measuring" if self._fresh else "loading"
        if self._finished:
            return "finished"
        stopped = job.cancelled_at is not None or job.exit_code in STOPPED
        return "cancelled" if stopped else "failed"

    def _sentence(self, job: Job, running: Running) -> str:
        done, planned, eta_s = running.done, running.planned, running.eta_s
        stored = f"{done:,} of {planned:,} answers are stored; the rest can be measured later."
        left = "" if eta_s is None else f", about {timedelta(seconds=round(eta_s))} left"
        sentences: Mapping[State, str] = {
            "starting": self._doing if self._doing.endswith(".") else f"{self._doing}.",
            "loading": "Warming up, which is not part of any measured time.",
            "measuring": f"Measuring: {done:,} of {planned:,} answers{left}.",
            "finishing": f"All {planned:,} answers are measured. Now the peak memory of each system.",
            "cancelling": "Ending. What was measured is kept.",
            "finished": f"All {planned:,} answers are stored."
            + (f" They were {busy_clause(self._busy)}" if self._busy else ""),
            "cancelled": f"Cancelled. {stored}" if planned else "Cancelled before anything was measured.",
            "failed": f"{self._why(job, running.log)}{f' {stored}' if planned else ''}",
        }
        return sentences[running.state]

    def _why(self, job: Job, log: tuple[str, ...]) -> str:
        """Give the command's own sentence, or what else is known of its end."""
        if self._failure is not None:
            return _without_folder(self._failure.sentence)
        if job.exit_code is not None and job.exit_code < 0:
            return f"It was killed by signal {-job.exit_code}."
        if log:
            return f"It ended unexpectedly. The last line of its log: {log[-1]}"
        return "It ended without a word; somebody may have killed it."


def _without_folder(text: str) -> str:
    """Leave out where this server keeps its suites: whoever opens the page reads the text."""
    return text.replace(f"{suites_folder().resolve()}{os.sep}", "")
