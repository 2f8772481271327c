"""`hybrid bench` ended early, by whatever, and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hybrid.cli import bench_run
from hybrid.cli.bench import Stopped
from hybrid.errors import EngineError
from hybrid.schema import SYSTEMS, Memory
from hybrid.store import StoredRun, Writer, list_runs, load_run


def content(found: StoredRun) -> list[tuple[object, ...]]:
    """All of the records but their times."""
    return [
        (r.example_id, r.repeat, r.system, r.batch, r.position, r.generation.text, r.generation.token_ids)
        for r in found.records
    ]


# interrupted, and resumed


@pytest.mark.parametrize("after", [0, 1, 4, 11])
def test_an_interrupted_run_resumes_to_the_same_as_an_undisturbed_one(bench, after, monkeypatch):
    whole = bench.stored(bench.measure("--limit", "4"))
    with monkeypatch.context() as patched:
        bench.stop_after(after, patched, Stopped(signal.SIGINT))
        result = bench.measure("--limit", "4")
    part = bench.stored(result, exit_code=130)
    run_id = part.run.run_id
    assert len(part.records) == after
    said = f"notice: {after} of 12 answers are stored; `hybrid bench --resume {run_id}` goes on.\n"
    assert result.stderr.endswith(said)
    again = bench.stored(bench.run("--resume", run_id))
    assert again.run.run_id == run_id
    assert again.run.finished_at is not None
    assert content(again) == content(whole)
    assert again.run.memory == whole.run.memory


def test_sigterm_ends_as_cleanly_and_handlers_are_put_back(bench, monkeypatch):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    bench.stop_after(2, monkeypatch)
    assert len(bench.stored(bench.measure("--limit", "4"), exit_code=143).records) == 2
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_an_interrupt_before_anything_is_measured_leaves_no_run(bench, monkeypatch):
    def load(*_: Any, **__: Any) -> None:
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr("hybrid.engines.table.load_engines", load)
    assert bench.failed(bench.measure(), exit_code=130) == ""
    assert list_runs().runs == ()


def test_an_interrupt_in_the_memory_pass_loses_nothing(bench, monkeypatch):
    def peak(*_: Any) -> Memory:
        raise Stopped(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(bench_run, "peak_memory", peak)
        part = bench.stored(bench.measure("--limit", "1"), exit_code=130)
    assert (len(part.records), part.run.finished_at) == (3, None)
    again = bench.stored(bench.run("--resume", "latest"))
    assert again.records == part.records
    assert again.run.memory == dict.fromkeys(SYSTEMS, Memory(2, 1))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (EngineError("The engine broke."), "error: The engine broke.\n"),
        (
            MemoryError(),
            "error: A batch of 1 does not fit into the memory of cpu. Free some of it, or start",
        ),
        (
            RuntimeError("CUDA out of memory. Tried"),
            "error: A batch of 1 does not fit into the memory of cpu.",
        ),
    ],
)
def test_what_breaks_on_the_way_leaves_a_run_to_resume(bench, error, said, monkeypatch):
    bench.stop_after(2, monkeypatch, error)
    result = bench.measure("--limit", "2")
    found = bench.stored(result, exit_code=1)
    assert len(found.records) == 2
    assert (
        f"notice: 2 of 6 answers are stored; `hybrid bench --resume {found.run.run_id}` goes on.\n"
        in result.stderr
    )
    assert said in result.stderr


def test_a_full_disk_says_how_to_go_on(bench, monkeypatch):
    append = Writer.append

    def full(writer: Writer, records: Any) -> None:
        if len(writer.done) == 2:
            monkeypatch.setattr(os, "write", no_space)
        append(writer, records)

    def no_space(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        write = os.write
        patched.setattr(Writer, "append", full)
        result = bench.measure("--limit", "2")
        monkeypatch.setattr(os, "write", write)
    found = bench.stored(result, exit_code=1)
    assert len(found.records) == 2
    assert "error: Run " in result.stderr
    assert "No space left on device" in result.stderr
    assert result.stderr.count(f"`hybrid bench --resume {found.run.run_id}` goes on.") == 1
    assert len(bench.stored(bench.run("--resume", "latest")).records) == 6


def test_resuming_takes_the_plan_from_the_store(bench):
    message = bench.failed(bench.run("--resume", "latest", "--limit", "3", "--seed", "0"), exit_code=2)
    assert "--resume goes on with the stored plan; leave out --limit, --seed." in message
    assert "leave out SUITE" in bench.failed(bench.run("everyday-en-de", "--resume", "latest"), exit_code=2)


def test_what_cannot_be_resumed_is_one_sentence(bench):
    complete = bench.stored(bench.measure("--limit", "1", "--systems", "slm")).run.run_id
    assert f"error: Run {complete} is complete" in bench.failed(bench.run("--resume", complete))
    assert "There is no run 1999" in bench.failed(bench.run("--resume", "1999"))


@pytest.fixture
def interrupted(bench, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a run with 2 of 6 records."""
    with monkeypatch.context() as patched:
        bench.stop_after(2, patched, Stopped(signal.SIGINT))
        return bench.stored(bench.measure("--limit", "2"), exit_code=130).run.run_id


def test_a_suite_that_has_changed_is_refused(bench, interrupted):
    (bench.folder / "suite.tsv").write_text("".join([*bench.lines[1:], bench.lines[0]]), "utf-8")
    message = bench.failed(bench.run("--resume", interrupted))
    assert f"The suite file:suite.tsv has other texts now than when run {interrupted} was started." in message
    (bench.folder / "suite.tsv").unlink()
    assert "There is no file suite.tsv" in bench.failed(bench.run("--resume", interrupted))


def test_weights_that_have_changed_are_refused(bench, interrupted, tiny_zoo, monkeypatch):
    manifest = json.loads((tiny_zoo / "tiny" / "pair.json").read_text("utf-8"))
    (bench.folder / "zoo" / "tiny").mkdir(parents=True)
    (bench.folder / "zoo" / "tiny" / "pair.json").write_text(json.dumps(manifest), "utf-8")
    monkeypatch.setenv("HYBRID_ZOO", str(bench.folder / "zoo"))
    message = bench.failed(bench.run("--resume", interrupted))
    assert f"The pair tiny has other weights now than when run {interrupted} was started." in message


def test_another_environment_is_said_and_the_run_goes_on(bench, interrupted, monkeypatch):
    monkeypatch.setattr("hybrid.environment.platform.python_version", lambda: "3.99.0")
    result = bench.run("--resume", interrupted)
    now = ".".join(map(str, sys.version_info[:3]))
    said = f"notice: The run was started in another environment: python {now}, now 3.99.0.\n"
    assert said in result.stderr
    assert len(bench.stored(result).records) == 6


def as_process(*arguments: str, place: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "hybrid.cli", "bench", *arguments]
    environment = os.environ | {"TMPDIR": str(place / "tmp"), "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=place
    )


def test_ctrl_c_on_a_real_process_leaves_a_run_that_resumes(bench):
    arguments = ("file:suite.tsv", "--task", "translate-en-de", "--fixed-length", "200", "--no-memory")
    with as_process(*arguments, place=bench.folder) as process:
        deadline = time.monotonic() + 60
        while not any(summary.records for summary in list_runs().runs):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    (run_id,) = out.splitlines()
    assert err.endswith(f"of 24 answers are stored; `hybrid bench --resume {run_id}` goes on.\n")
    assert "Traceback" not in err
    before = load_run(run_id).records
    assert 0 < len(before) < 24
    again = bench.stored(bench.run("--resume", run_id, "--no-memory"))
    assert again.records[: len(before)] == before
    assert len({(r.example_id, r.system) for r in again.records}) == 24
