"""What is said of a job agrees with its events and with what it has stored; only what is new is read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid import store
from hybrid.benchmark import jobs
from hybrid.benchmark.jobs import Job
from hybrid.benchmark.jobs.folder import EventLog
from hybrid.presentation import running
from hybrid.presentation.running import Watch
from hybrid.schema import (
    Device,
    Event,
    Failed,
    Finished,
    Interrupted,
    Plan,
    Progress,
    Sampling,
    Speedup,
    Started,
    Status,
    Waiting,
)
from hybrid.store import load_run
from tests.benchmark.jobs.stand_in import await_that
from tests.made_runs import store_run

BEGAN = "2026-11-23T01:45:12.000+00:00"
NOBODY = 2**22 + 1  # no process has such a number
RUN_ID = "20261123-014512-made-up-3f9c"
STARTED = Started(run_id=RUN_ID, title="made-up", planned=12)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job that lives only on paper, with a log."""
    folder = tmp_path / ".jobs" / "20261123-014512-abcd"
    folder.mkdir(parents=True)
    (folder / "stderr").touch()
    command = ("python", "-m", "hybrid.cli", "bench", "made-up")
    return Job(
        folder=folder, command=command, shown="hybrid bench made-up", suite="made-up", pid=NOBODY,
        started_at=BEGAN, alive=True,
    )  # fmt: skip


def tell(job: Job, *events: Event) -> None:
    with EventLog(job.folder / "events.jsonl") as log:
        for event in events:
            log(event)


def test_before_a_run_is_known_its_own_sentence_is_shown(job: Job, tmp_path: Path):
    watch = Watch(tmp_path)
    status = watch.look(job)
    assert (status.state, status.done, status.planned, status.share) == ("starting", 0, 0, 0.0)
    for event in (Status(sentence="Reading the suite"), Waiting(sentence="Waiting. Another is running: x.")):
        tell(job, event)
        status = watch.look(job)
        assert status.state == "starting"
        assert status.sentence.rstrip(".") == event.sentence.rstrip(".")


def test_progress_is_that_of_its_events(job: Job, tmp_path: Path):
    watch = Watch(tmp_path)
    tell(job, STARTED)
    assert (watch.look(job).state, watch.look(job).planned) == ("loading", 12)
    tell(job, Progress(done=7, planned=12, eta_s=10.0, speedups={"hybrid": Speedup(4.0, 2)}))
    status = watch.look(job)
    assert (status.state, status.done, status.planned, status.eta_s) == ("measuring", 7, 12, 10.0)
    assert status.sentence == "Measuring: 7 of 12 answers, about 0:00:10 left."
    assert status.share == pytest.approx(7 / 12)
    assert status.speedups == {"hybrid": Speedup(4.0, 2)}
    tell(job, Progress(done=12, planned=12, speedups={"hybrid": Speedup(3.0, 4)}))
    status = watch.look(job)
    assert (status.state, status.share, status.eta_s) == ("finishing", 1.0, None)
    assert watch.look(replace(job, cancelled_at=BEGAN)).state == "cancelling"
    tell(job, Finished(run_id=RUN_ID))
    status = watch.look(replace(job, alive=False, exit_code=0))
    assert (status.state, status.sentence) == ("finished", "All 12 answers are stored.")
    assert (status.speedups, status.busy) == ({"hybrid": Speedup(3.0, 4)}, False)


def test_the_end_of_a_run_on_a_busy_machine_says_so(job: Job, tmp_path: Path):
    tell(job, STARTED, Finished(run_id=RUN_ID, busy=("other processes took 40 % of the CPUs",)))
    status = Watch(tmp_path).look(replace(job, alive=False, exit_code=0))
    assert status.busy
    assert "other processes took 40 % of the CPUs" in status.sentence


def test_what_was_cancelled_and_then_resumed_elsewhere_is_finished(job: Job, tmp_path: Path):
    ended = replace(job, alive=False, exit_code=143, cancelled_at=BEGAN, run_id=RUN_ID)
    watch, folder = Watch(tmp_path), tmp_path / RUN_ID
    tell(job, STARTED, Interrupted(run_id=RUN_ID, done=3, planned=12))
    (tmp_path / store_run(tmp_path, examples=4, answered=0.25)).rename(folder)
    status = watch.look(ended)
    assert (status.state, status.done) == ("cancelled", 3)
    folder.rename(tmp_path / "before")
    (tmp_path / store_run(tmp_path, examples=4)).rename(folder)
    status = watch.look(ended)
    assert (status.state, status.done, status.speedups) == ("finished", 12, {})


def test_a_run_that_goes_on_begins_where_it_was(job: Job, tmp_path: Path):
    tell(job, replace(STARTED, done=6))
    status = Watch(tmp_path).look(job)
    assert (status.state, status.done, status.eta_s) == ("loading", 6, None)


def test_each_event_is_read_once_and_only_whole_lines(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    starts: list[int] = []
    read = running.read_events
    monkeypatch.setattr(
        running, "read_events", lambda path, start: (starts.append(start), read(path, start))[1]
    )
    tell(job, STARTED, *(Progress(done=n, planned=12) for n in (1, 2)))
    path = job.folder / "events.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    watch = Watch(tmp_path)
    assert watch.look(job).done == 1
    path.write_bytes(whole)
    assert watch.look(job).done == 2
    assert watch.look(job).done == 2
    assert starts == [0, whole[:-1].rfind(b"\n") + 1, len(whole)]


def test_a_damaged_or_unknown_line_hides_no_other(job: Job, tmp_path: Path):
    tell(job, STARTED)
    with (job.folder / "events.jsonl").open("ab") as file:
        file.write(
            b"{\xff\n[]\n\n" + b'{"event":"Dance"}\n{"event":"Progress","done":"7"}\n' + b"[" * 9999 + b"\n"
        )
    tell(job, Progress(done=3, planned=12, speedups={"other": Speedup(1.0, 1)}))
    status = Watch(tmp_path).look(job)
    assert (status.done, status.speedups) == (3, {})


# the end


@pytest.mark.parametrize(
    ("events", "log", "code", "state", "sentence"),
    [
        (
            [Failed(error="SuiteError", sentence="There is no file y.")],
            "",
            1,
            "failed",
            "There is no file y.",
        ),
        ([], "a\nRuntimeError: z\n", 1, "failed", "RuntimeError: z"),
        ([], "", -9, "failed", "signal 9"),
        ([], "", None, "failed", "without a word"),
        ([], "", -15, "cancelled", "before anything was measured"),
    ],
)
def test_an_end_without_a_run_is_explained(job: Job, tmp_path: Path, events, log, code, state, sentence):
    tell(job, *events)
    (job.folder / "stderr").write_text(log, "utf-8")
    status = Watch(tmp_path).look(replace(job, alive=False, exit_code=code))
    assert status.state == state
    assert sentence in status.sentence


def test_a_cancelled_run_says_what_is_kept(job: Job, tmp_path: Path, fake_run: Callable[..., Any]):
    stored(tmp_path, fake_run, 1)
    tell(job, STARTED, Interrupted(run_id=RUN_ID, done=1, planned=12))
    status = Watch(tmp_path).look(replace(job, alive=False, run_id=RUN_ID, cancelled_at=BEGAN))
    assert status.state == "cancelled"
    assert status.sentence == "Cancelled. 1 of 12 answers are stored; the rest can be measured later."


def test_of_a_run_that_was_killed_what_is_stored_counts(
    job: Job, tmp_path: Path, fake_run: Callable[..., Any]
):
    stored(tmp_path, fake_run, 5)
    tell(job, STARTED, Progress(done=2, planned=12))
    status = Watch(tmp_path).look(replace(job, alive=False, run_id=RUN_ID, exit_code=-9))
    assert (status.state, status.done) == ("failed", 5)
    assert "signal 9" in status.sentence
    assert "5 of 12" in status.sentence


def test_a_run_that_was_removed_at_its_end_is_not_promised(job: Job, tmp_path: Path):
    """A run that fails before its first answer leaves none."""
    tell(job, STARTED, Failed(error="EngineError", sentence="It does not fit."))
    status = Watch(tmp_path).look(replace(job, alive=False, run_id=RUN_ID, exit_code=1))
    assert (status.state, status.sentence, status.planned) == ("failed", "It does not fit.", 0)


def stored(root: Path, fake_run: Callable[..., Any], records: int) -> None:
    fake = fake_run(examples=4)
    with store.create(fake.run, fake.examples, root) as writer:
        for record in fake.records[:records]:
            writer.append([record])


# the real command


def watched(root: Path, job: Job, until: str, seconds: float = 60.0) -> running.Running:
    """The job, looked at again and again until it says `until`."""
    watch, seen = Watch(root), []

    def reached() -> bool:
        present = jobs.latest(root)
        assert present is not None
        assert present.job_id == job.job_id
        seen.append(watch.look(present))
        ends = {"finished", "cancelled", "failed"} - {until}
        assert seen[-1].state not in ends, seen[-1]
        return seen[-1].state == until

    await_that(reached, seconds)
    return seen[-1]


@pytest.fixture
def real(tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the real command stores a run of the tiny pair."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HYBRID_RUNTIME", str(tmp_path / "tmp"))
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))
    return tmp_path / "results"


def test_a_real_run_is_followed_and_cancelled(real: Path):
    sampling = Sampling(24, truncate=True)
    plan = Plan("briefs-en@1", pair="tiny", engine="torch", sampling=sampling, repeats=50, memory=False)
    job = jobs.start(plan, real)
    part = watched(real, job, "measuring")
    assert part.run_id is not None
    assert part.planned == 84 * 3 * 50
    jobs.cancel(job)
    status = watched(real, job, "cancelled")
    assert 0 < status.done < status.planned
    assert f"hybrid bench --resume {part.run_id}" in status.log[-1]
    run = load_run(part.run_id, real)
    assert status.done == len(run.records)
    assert replace(run.run.plan, suite_hash="", task="", dtype="") == plan


def test_a_real_failure_is_its_own_sentence(real: Path):
    job = jobs.start(Plan("file:/nowhere/x.tsv", pair="tiny", task="summarize"), real)
    assert watched(real, job, "failed").sentence == "There is no file /nowhere/x.tsv."


@pytest.mark.gpu
def test_a_real_run_on_a_gpu_is_followed_to_its_end(real: Path):
    sampling = Sampling(8, truncate=True)
    plan = Plan("briefs-en", pair="tiny", device=Device("cuda"), sampling=sampling, limit=10)
    status = watched(real, jobs.start(plan, real), "finished", 240)
    assert status.run_id is not None
    assert (status.done, load_run(status.run_id, real).run.plan.device) == (30, "cuda")
    assert set(status.speedups) == {"slm", "hybrid"}


def test_where_the_server_keeps_its_suites_is_not_shown(job: Job, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HYBRID_SUITES", str(tmp_path / "confidential"))
    sentence = f"{tmp_path / 'confidential' / 'sub' / 'x.tsv'}, line 3: the source is empty."
    tell(job, Failed(error="SuiteError", sentence=sentence))
    (job.folder / "stderr").write_text(f"error: {sentence}\n", "utf-8")
    status = Watch(tmp_path).look(replace(job, alive=False, exit_code=1))
    assert status.sentence == "sub/x.tsv, line 3: the source is empty."
    assert status.log == (f"error: {status.sentence}",)
