"""What is said of a job agrees with what it has stored, and only what is new is read."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid import store
from hybrid.benchmark import jobs
from hybrid.benchmark.jobs import Job, Measurement
from hybrid.benchmark.progress import SoFar
from hybrid.measuring.lock import measuring
from hybrid.presentation.views import running
from hybrid.presentation.views.running import Watch
from hybrid.schema import Device, Record
from hybrid.store import load_run, reading

BEGAN = "2026-11-23T01:45:12.000+00:00"
NOBODY = 2**22 + 1  # no process has such a number


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job that lives only on paper, with a log."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    folder = tmp_path / ".jobs" / "20261123-014512-abcd"
    folder.mkdir(parents=True)
    (folder / "stderr").touch()
    command = ("python", "-m", "hybrid.cli", "bench", "made-up")
    return Job(folder, command, "made-up", NOBODY, BEGAN, alive=True)


def say(job: Job, text: str) -> None:
    (job.folder / "stderr").write_text(text, "utf-8")


def shifted(record: Record, seconds: int) -> Record:
    """The same record, begun so long after the job; three systems share a batch."""
    begun = f"2026-11-23T01:{45 + seconds // 60}:{12 + seconds % 60:02}.000+00:00"
    return replace(record, started_at=begun, batch=record.position // 3)


def test_before_a_run_is_known(job: Job, tmp_path: Path):
    found = Watch(tmp_path).look(job)
    assert (found.state, found.done, found.planned, found.share) == ("starting", 0, 0, 0.0)
    say(job, "Waiting. Another measurement is running on this machine: x.\n")
    assert Watch(tmp_path).look(job).sentence.startswith("Waiting. Another measurement")


def test_loading_begins_when_it_holds_the_machine(job: Job, tmp_path: Path):
    with measuring("made-0001", "made-up"):
        assert Watch(tmp_path).look(job).state == "starting"  # somebody else does
        assert Watch(tmp_path).look(replace(job, pid=os.getpid())).state == "loading"


def test_progress_agrees_with_the_records(job: Job, tmp_path: Path, fake_run: Callable[..., Any]):
    fake = fake_run(examples=4)
    watch, job = Watch(tmp_path), replace(job, run_id=fake.run.run_id)
    records = [shifted(record, 2 * n) for n, record in enumerate(fake.records)]
    with store.create(fake.run, fake.examples, tmp_path) as writer:
        assert watch.look(job).planned == 12
        for record in records[:7]:
            writer.append([record])
        found = watch.look(job)
        assert (found.state, found.done, found.planned) == ("measuring", 7, 12)
        assert found.eta_s == pytest.approx(2.0 * 5, abs=0.1)
        assert found.sentence == "Measuring: 7 of 12 answers, about 0:00:10 left."
        assert found.share == pytest.approx(7 / 12)
        totals = {r.system: r.generation.timing.total_s for r in records[:3]}
        later = {r.system: r.generation.timing.total_s for r in records[3:6]}
        ratios = [one["llm"] / one["hybrid"] for one in (totals, later)]
        # what is stored is whole microseconds
        assert found.speedups["hybrid"].median == pytest.approx(sum(ratios) / 2, rel=1e-3)
        assert {system: one.n for system, one in found.speedups.items()} == {"slm": 2, "hybrid": 2}
        for record in records[7:]:
            writer.append([record])
        found = watch.look(job)
        assert (found.state, found.share, found.eta_s) == ("finishing", 1.0, None)
        assert watch.look(replace(job, cancelled_at=BEGAN)).state == "cancelling"
        writer.finish({}, "2026-11-23T01:50:00+00:00")
    found = watch.look(replace(job, alive=False, exit_code=0))
    assert (found.state, found.sentence) == ("finished", "All 12 answers are stored.")
    assert found.speedups["slm"] == SoFar(found.speedups["slm"].median, 4)


def test_each_record_is_read_once_and_only_whole_lines(
    job: Job, tmp_path: Path, fake_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    decoded: list[bytes] = []
    decode = running.decode_record
    monkeypatch.setattr(running, "decode_record", lambda line: decoded.append(line) or decode(line))
    fake = fake_run(examples=4)
    watch, job = Watch(tmp_path), replace(job, run_id=fake.run.run_id)
    with store.create(fake.run, fake.examples, tmp_path) as writer:
        for record in fake.records:
            writer.append([record])
    path = tmp_path / fake.run.run_id / reading.RECORDS
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]) + lines[5][:40])
    assert watch.look(job).done == 5
    assert watch.look(job).done == 5
    path.write_bytes(whole)
    assert watch.look(job).done == 12
    assert decoded == lines


def test_a_damaged_or_foreign_line_hides_no_other(job: Job, tmp_path: Path, fake_run: Callable[..., Any]):
    fake = fake_run(examples=2)
    job = replace(job, run_id=fake.run.run_id)
    with store.create(fake.run, fake.examples, tmp_path) as writer:
        for record in fake.records:
            writer.append([record])
    path = tmp_path / fake.run.run_id / reading.RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = b"{\xff\n"
    lines[2] = lines[2].replace(b'"hybrid"', b'"other@engine"')
    lines[3] = lines[3].replace(b'"started_at":"2026', b'"started_at":"never')
    path.write_bytes(b"".join(lines))
    assert Watch(tmp_path).look(job).done == 3


def test_what_was_there_before_it_went_on_says_nothing_of_its_pace(
    job: Job, tmp_path: Path, fake_run: Callable[..., Any]
):
    fake = fake_run(examples=4)
    watch = Watch(tmp_path)
    job = replace(job, run_id=fake.run.run_id, command=(*job.command[:4], f"--resume={fake.run.run_id}"))
    before = "2026-11-22T01:00:00.000+00:00"
    earlier = [replace(shifted(record, 0), started_at=before) for record in fake.records[:6]]
    with store.create(fake.run, fake.examples, tmp_path) as writer:
        for record in earlier:
            writer.append([record])
        found = watch.look(job)
        assert (found.state, found.done, found.eta_s) == ("starting", 6, None)
        assert found.speedups["slm"].n == 2
        for number, record in enumerate(fake.records[6:9]):
            writer.append([shifted(record, 4 * number)])
        found = watch.look(job)
        assert (found.state, found.done) == ("measuring", 9)
        assert found.eta_s == pytest.approx(4.0 * 3, abs=0.1)


# the end


@pytest.mark.parametrize(
    ("log", "code", "state", "said"),
    [
        ("notice: x\nerror: There is no file y.\n", 1, "failed", "There is no file y."),
        ("Usage: hybrid\n\nError: No such option.\n", 2, "failed", "No such option."),
        ("a\nRuntimeError: z\n", 1, "failed", "The last line of its log: RuntimeError: z"),
        ("", -9, "failed", "It was killed by signal 9."),
        ("", None, "failed", "somebody may have killed it"),
        ("", -15, "cancelled", "Cancelled before anything was measured."),
    ],
)
def test_an_end_without_a_run_is_explained(job: Job, tmp_path: Path, log, code, state, said):
    say(job, log)
    found = Watch(tmp_path).look(replace(job, alive=False, exit_code=code))
    assert found.state == state
    assert said in found.sentence


def test_a_cancelled_run_says_what_is_kept(job: Job, tmp_path: Path, fake_run: Callable[..., Any]):
    fake = fake_run(examples=4)
    with store.create(fake.run, fake.examples, tmp_path) as writer:
        writer.append(fake.records[:1])
    found = Watch(tmp_path).look(replace(job, alive=False, run_id=fake.run.run_id, cancelled_at=BEGAN))
    assert found.state == "cancelled"
    assert found.sentence == "Cancelled. 1 of 12 answers are stored; the rest can be measured later."


def test_a_run_that_was_removed_at_its_end_is_not_promised(
    job: Job, tmp_path: Path, fake_run: Callable[..., Any]
):
    """A run that fails before its first answer leaves none."""
    fake = fake_run()
    watch, job = Watch(tmp_path), replace(job, run_id=fake.run.run_id)
    with store.create(fake.run, fake.examples, tmp_path) as writer:
        assert watch.look(job).planned == 9
        writer.discard()
    say(job, "error: It does not fit.\n")
    found = watch.look(replace(job, alive=False, exit_code=1))
    assert (found.state, found.sentence, found.run) == ("failed", "It does not fit.", None)


# the real command


def watched(root: Path, job: Job, until: str, seconds: float = 60.0) -> running.Running:
    """The job, looked at again and again until it says `until`."""
    watch, deadline = Watch(root), time.monotonic() + seconds
    while True:
        now = jobs.latest(root)
        assert now is not None
        assert now.job_id == job.job_id
        found = watch.look(now)
        if found.state == until:
            return found
        assert found.state in ("starting", "loading", "measuring", "finishing", "cancelling"), found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


@pytest.fixture
def real(tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the real command stores a run of the tiny pair."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))
    return tmp_path / "results"


def test_a_real_run_is_followed_and_cancelled(real: Path):
    asked = Measurement("briefs-en", "tiny", engine="torch", max_new_tokens=24, repeats=50, memory=False)
    job = jobs.start(asked, real)
    part = watched(real, job, "measuring")
    assert part.run is not None
    assert part.planned == 84 * 3 * 50
    jobs.cancel(job)
    found = watched(real, job, "cancelled")
    assert 0 < found.done < found.planned
    assert f"hybrid bench --resume {part.run.run_id}" in found.log[-1]
    assert found.done == len(load_run(part.run.run_id, real).records)


@pytest.mark.gpu
def test_a_real_run_on_a_gpu_is_followed_to_its_end(real: Path):
    asked = Measurement("briefs-en", "tiny", device=Device("cuda"), max_new_tokens=8, limit=10)
    found = watched(real, jobs.start(asked, real), "finished", 240)
    assert found.run is not None
    assert (found.done, found.run.plan.device) == (30, "cuda")
    assert set(found.speedups) == {"slm", "hybrid"}
