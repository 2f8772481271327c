"""A stand-in for the command, so that jobs begin and end at once: its suite says what it does."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hybrid.benchmark import jobs
from hybrid.benchmark.jobs import Job

RUN_ID = "20261123-014512-made-up-3f9c"
STAND_IN = """
import json, os, pathlib, signal, sys, tempfile, time
given = dict(a.removeprefix("--").split("=", 1) for a in sys.argv if "=" in a)
read = sys.stdin.read if given.get("plan") == "-" else pathlib.Path(given.get("plan", "x")).read_text
plan = json.loads(read())["plan"] if "plan" in given else {}
what = "engines" if "engines" in sys.argv else plan.get("suite", "file:plain")
run_id = "20261123-014512-made-up-3f9c"
def tell(event, **fields):
    with open(given["events"], "a") as file:
        file.write(json.dumps({"event": event, **fields}) + "\\n")
def end(*_):
    print(run_id, flush=True)
    os._exit(143)
if what == "engines":
    print(json.dumps([{"name": "torch", "missing": {"cpu": None, "cuda": "No GPU."}}]))
elif what == "file:fail":
    tell("Failed", error="SuiteError", sentence="There is no file x.")
    sys.exit("error: There is no file x.")
elif what == "file:done":
    tell("Started", run_id=run_id, title=what, planned=3)
    tell("Finished", run_id=run_id)
    print(run_id)
else:
    if what == "file:deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif what != "file:plain":
        signal.signal(signal.SIGTERM, end)
    if what == "file:measure":
        tell("Started", run_id=run_id, title=what, planned=3)
    print("ready", file=sys.stderr, flush=True)
    time.sleep(60)
"""


@contextmanager
def installed(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of results; jobs started in this process run the stand-in, and none outlives the block."""
    stand_in = folder / "stand-in" / "hybrid" / "cli"
    stand_in.mkdir(parents=True)
    for package in (stand_in.parent, stand_in):
        (package / "__init__.py").touch()
    (stand_in / "__main__.py").write_text(STAND_IN, "utf-8")
    (folder / "tmp").mkdir()
    patch.setenv("HYBRID_RUNTIME", str(folder / "tmp"))  # not where the real lock is
    patch.chdir(folder / "stand-in")  # -m looks here first
    yield folder / "results"
    while (job := jobs.current(folder / "results")) is not None:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(job.pid, signal.SIGKILL)
        time.sleep(0.01)


def await_that(true: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def ended(root: Path) -> Job:
    """The latest job, once it has ended and that is stored."""
    await_that(lambda: (job := jobs.latest(root)) is not None and job.exit_code is not None)
    job = jobs.latest(root)
    assert job is not None
    return job
