"""Jobs begin one at a time, are found again by whoever looks, and end when they are told to."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from hybrid.benchmark import jobs
from hybrid.benchmark.jobs import ResumeRequest, folder, starting
from hybrid.benchmark.plans import load_plan
from hybrid.errors import BusyError, HybridError, StoreError
from hybrid.live import Request, measure_all
from hybrid.measuring.lock import holder, measuring
from hybrid.schema import Plan, Sampling
from tests.benchmark.jobs.stand_in import RUN_ID, await_that, ended

PLAIN = Plan("file:plain", pair="tiny")


def test_a_job_is_a_session_of_its_own_with_its_output_in_files(root, begin):
    job = begin("plain")
    assert job.alive
    assert os.getsid(job.pid) == job.pid
    assert Path(f"/proc/{job.pid}/fd/0").readlink() == Path("/dev/null")
    assert folder.last_lines(job) == ["ready"]
    assert jobs.current(root) == job == jobs.latest(root)
    assert (job.run_id, job.cancelled_at, job.exit_code) == (None, None, None)


def test_a_job_knows_where_results_and_the_lock_are(root, begin, tmp_path):
    environment = Path(f"/proc/{begin('plain').pid}/environ").read_bytes().split(b"\0")
    assert f"HYBRID_RESULTS={root}".encode() in environment
    assert f"HYBRID_RUNTIME={tmp_path / 'tmp'}".encode() in environment


def test_the_end_is_stored_with_the_run_it_printed(root, begin):
    begin("done")
    job = ended(root)
    assert (job.alive, job.exit_code, job.run_id) == (False, 0, RUN_ID)
    assert jobs.current(root) is None
    assert jobs.blocking_reason(root) is None


def test_a_run_is_known_while_it_measures_and_after_a_kill(root, begin):
    begin("measure")
    await_that(lambda: getattr(jobs.current(root), "run_id", None) == RUN_ID)
    os.kill(jobs.current(root).pid, signal.SIGKILL)
    job = ended(root)
    assert (job.exit_code, job.run_id) == (-signal.SIGKILL, RUN_ID)


def test_the_run_that_goes_on_is_known_from_the_start(root):
    job = jobs.start(ResumeRequest(run_id=RUN_ID, suite="made-up"), root)
    assert job.run_id == RUN_ID


def test_a_job_shows_the_name_of_a_suites_file_and_reads_the_whole(root):
    job = jobs.start(Plan("file:/a folder/plain.tsv", task="summarize", pair="tiny"), root)
    assert (job.suite, job.shown) == (
        "file:plain.tsv",
        "hybrid bench file:plain.tsv --pair=tiny --task=summarize",
    )
    assert load_plan(job.folder / "plan.json").suite == "file:/a folder/plain.tsv"


# one at a time


def test_a_second_start_names_what_runs(root, begin):
    begin("plain")
    with pytest.raises(BusyError, match=r"file:plain is being measured here since .* UTC: wait for it"):
        jobs.start(PLAIN, root)


def test_of_many_who_start_at_once_one_wins(root):
    won, refused, gate = [], [], threading.Barrier(8)

    def visitor() -> None:
        gate.wait()
        try:
            won.append(jobs.start(PLAIN, root))
        except BusyError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=visitor) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(refused)) == (1, 7)
    assert len(folder.job_folders(root)) == 1


def test_a_measurement_of_the_command_is_in_the_way(root):
    with (
        measuring("20261123-014512-x-3f9c", "briefs-en"),
        pytest.raises(BusyError, match=f"process {os.getpid()}, run 20261123-014512-x-3f9c of briefs-en"),
    ):
        jobs.start(PLAIN, root)


def test_a_prompt_on_the_live_page_is_not(root):
    """It ends within seconds, and the command waits for it."""
    seen = []

    class Codec:
        def encode(self, *_: object) -> None:
            seen.append((holder().run_id, jobs.blocking_reason(root)))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        measure_all({"llm": SimpleNamespace(codec=Codec())}, Request("summarize", "A text.", Sampling(4)))
    assert seen == [(starting.LIVE, None)]


# the end


def test_cancel_lets_it_end_by_itself(root, begin):
    jobs.cancel(begin("measure"))
    job = ended(root)
    assert (job.exit_code, job.run_id) == (143, RUN_ID)
    assert folder.moment(job.cancelled_at) >= folder.moment(job.started_at)
    jobs.cancel(job)  # again, harmless


def test_what_does_not_end_is_killed_by_whoever_looks_next(root, begin, monkeypatch):
    job = begin("deaf")
    jobs.cancel(job)
    job = jobs.latest(root)
    assert job.alive
    assert job.cancelled_at is not None
    monkeypatch.setattr(folder, "GRACE_S", 0.0)
    jobs.latest(root)
    assert ended(root).exit_code == -signal.SIGKILL


def test_what_does_not_end_is_killed_though_nobody_looks(root, begin, monkeypatch):
    job = begin("deaf")
    monkeypatch.setattr(folder, "GRACE_S", 0.0)
    monkeypatch.setattr(starting, "GRACE_S", -0.9)
    jobs.cancel(job)
    await_that(lambda: (job.folder / "ended").exists())


# another server

ANOTHER = """
import signal, sys, pathlib
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)  # as in a script's background
sys.path.insert(0, sys.argv[1])
from hybrid.benchmark import jobs
from hybrid.schema import Plan
print(jobs.start(Plan("file:plain", pair="tiny"), pathlib.Path(sys.argv[2])).job_id)
"""


def test_a_job_outlives_its_server_and_is_cancelled_from_another(root, monkeypatch):
    clone = Path(__file__).parents[3]
    command = [sys.executable, "-P", "-c", ANOTHER, str(clone), str(root)]
    server = subprocess.run(command, capture_output=True, text=True, check=True)
    job = jobs.current(root)
    assert job is not None
    assert job.job_id == server.stdout.strip()
    await_that(lambda: folder.last_lines(job) == ["ready"])
    with pytest.raises(BusyError):
        jobs.start(PLAIN, root)
    jobs.cancel(job)
    await_that(lambda: jobs.current(root) is None)
    assert jobs.latest(root).exit_code is None  # nobody saw it end


# what lies in the folder is not believed blindly


def rewritten(job, **changed):
    path = job.folder / "job.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_a_number_that_another_process_has_by_now_is_not_the_job(root, begin):
    begin("done")
    job = ended(root)
    (job.folder / "ended").unlink()
    with subprocess.Popen(["sleep", "30"]) as other:
        rewritten(job, pid=other.pid)
        latest = jobs.latest(root)
        assert not latest.alive
        jobs.cancel(latest)
        assert other.poll() is None
        other.kill()
    assert jobs.blocking_reason(root) is None


@pytest.mark.parametrize("command", [["sleep", "30"], ["sh", "-m", "hybrid.cli", "compare"], [], "bench"])
def test_a_made_up_job_ends_nobody(root, begin, command):
    begin("done")
    job = ended(root)
    (job.folder / "ended").unlink()
    with subprocess.Popen(["sleep", "30"]) as other:
        rewritten(job, pid=other.pid, command=command)
        assert jobs.latest(root) is None
        jobs.cancel(job)
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("pid", [0, -1, 1, True, "12", None, 2.5])
def test_no_number_of_many_processes_is_taken(root, begin, pid):
    begin("done")
    rewritten(ended(root), pid=pid)
    assert jobs.latest(root) is None


def test_a_damaged_job_hides_no_other(root, begin):
    begin("done")
    good = ended(root)
    for number, data in enumerate((b"", b"{", b"[]", b'{"pid": 5}', b"\xff" * 70000)):
        damaged = root / ".jobs" / f"2099010{number + 1}-000000-abcd"
        damaged.mkdir()
        (damaged / "job.json").write_bytes(data)
    (root / ".jobs" / "20990109-000000-abcd").symlink_to(good.folder)
    assert jobs.latest(root) == good


def test_folders_of_jobs_may_be_a_link_or_a_file_and_nothing_follows(root, tmp_path):
    root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (root / ".jobs").symlink_to(tmp_path / "elsewhere")
    assert jobs.latest(root) is None
    with pytest.raises(StoreError, match=r"No measurement can be started in .*: it is not a folder"):
        jobs.start(PLAIN, root)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (root / ".jobs").unlink()
    (root / ".jobs").write_text("a file")
    with pytest.raises(StoreError, match="No measurement can be started in"):
        jobs.start(PLAIN, root)


def test_results_that_cannot_be_written_are_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"No run can be stored in .*HYBRID_RESULTS names another"):
        jobs.start(PLAIN, tmp_path / "file" / "results")


def test_old_jobs_are_pruned(root, begin):
    for number in range(25):
        (root / ".jobs" / f"20200101-0000{number:02}-abcd").mkdir(parents=True)
    (root / ".jobs" / "something else").mkdir()
    begin("done")
    ended(root)
    assert len(folder.job_folders(root)) == starting.KEEP
    assert (root / ".jobs" / "20200101-000024-abcd").exists()
    assert not (root / ".jobs" / "20200101-000000-abcd").exists()
    assert (root / ".jobs" / "something else").exists()


def test_a_log_is_plain_lines(root, begin):
    begin("done")
    job = ended(root)
    (job.folder / "stderr").write_bytes(b"a\x1b[31mb\tc\xff\n" + "x\u202ey\n".encode() * 3)
    assert folder.last_lines(job, most=2) == ["x�y", "x�y"]
    assert folder.last_lines(job)[0].startswith("a�[31mb")
    (job.folder / "stderr").write_bytes(b"0123456789abcdef\n" * 10_000)
    assert set(folder.last_lines(job, most=10_000)) == {"0123456789abcdef"}


def test_what_runs_here_is_asked_of_the_command(root, monkeypatch):
    assert jobs.probe_engines() == {"torch": {"cpu": None, "cuda": "No GPU."}}
    monkeypatch.setattr(
        "hybrid.benchmark.jobs.starting.COMMAND", (sys.executable, "-c", "raise SystemExit(3)")
    )
    with pytest.raises(HybridError, match="What runs here is not known"):
        jobs.probe_engines()
