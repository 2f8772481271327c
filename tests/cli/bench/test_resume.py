"""`hybrid bench` ended early, by whatever, and resumed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from hybrid.benchmark import block
from hybrid.benchmark import run as use_case
from hybrid.cli.bench import Stopped
from hybrid.errors import EngineError
from hybrid.schema import SYSTEMS, Memory
from hybrid.store import StoredRun, Writer, list_runs, load_run


def content(stored: StoredRun) -> list[tuple[object, ...]]:
    """All of the records but their times."""
    return [
        (r.example_id, r.repeat, r.system, r.batch, r.position, r.generation.text, r.generation.token_ids)
        for r in stored.records
    ]


SINGLE = "error: A single prompt does not fit into the memory of cpu. Free some of it.\n"


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
    sentence = f"notice: {after} of 12 answers are stored; `hybrid bench --resume {run_id}` goes on.\n"
    assert result.stderr.endswith(sentence)
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

    monkeypatch.setattr("hybrid.benchmark.block.load_engines", load)
    nothing = "notice: Interrupted before anything was measured; nothing was stored.\n"
    assert bench.failed(bench.measure(), exit_code=130) == nothing
    assert list_runs().runs == ()


def test_an_interrupt_before_a_resumed_run_goes_on_leaves_it_as_it_was(bench, monkeypatch):
    bench.stop_after(2, monkeypatch)
    part = bench.stored(bench.measure("--limit", "4"), exit_code=143)

    def wait(*_: Any, **__: Any) -> None:
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(use_case, "measuring", wait)
    sentence = bench.failed(bench.run("--resume", part.run.run_id), exit_code=143)
    assert sentence.endswith("the run is as it was, and the same command goes on.\n")
    assert load_run(part.run.run_id).records == part.records


def test_an_interrupt_in_the_memory_pass_loses_nothing(bench, monkeypatch):
    def peak(*_: Any) -> Memory:
        raise Stopped(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(use_case, "peak_memory", peak)
        result = bench.measure("--limit", "1")
    part = bench.stored(result, exit_code=130)
    assert (len(part.records), part.run.finished_at) == (3, None)
    assert "Measuring the memory of llm\n" in result.stderr  # no terminal, and yet not silent
    assert result.stderr.endswith(
        "notice: All 3 answers are stored, and scores or memory lack; "
        f"`hybrid bench --resume {part.run.run_id}` adds them.\n"
    )
    again = bench.stored(bench.run("--resume", "latest"))
    assert again.records == part.records
    assert again.run.memory == dict.fromkeys(SYSTEMS, Memory(resident=2, before_model=1))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (EngineError("The engine broke."), "error: The engine broke.\n"),
        (MemoryError(), SINGLE),
        (RuntimeError("CUDA out of memory. Tried"), SINGLE),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), SINGLE),
    ],
)
def test_what_breaks_on_the_way_leaves_a_run_to_resume(bench, error, sentence, monkeypatch):
    bench.stop_after(2, monkeypatch, error)
    result = bench.measure("--limit", "2")
    stored = bench.stored(result, exit_code=1)
    assert len(stored.records) == 2
    assert (
        f"notice: 2 of 6 answers are stored; `hybrid bench --resume {stored.run.run_id}` goes on.\n"
        in result.stderr
    )
    assert sentence in result.stderr


def test_a_batch_that_does_not_fit_may_be_made_smaller_in_a_new_run(bench, monkeypatch):
    bench.stop_after(2, monkeypatch, MemoryError())
    message = bench.measure("--limit", "4", "--batch-size", "2").stderr
    assert (
        "error: A batch of 2 does not fit into the memory of cpu. Free some of it, or start a new run"
        in message
    )
    assert "notice: 4 of 12 answers are stored; " in message


@pytest.mark.parametrize("error", [MemoryError(), EngineError("The engine broke.")])
def test_what_breaks_before_the_first_answer_leaves_no_run_to_resume(bench, error, monkeypatch):
    bench.stop_after(0, monkeypatch, error)
    message = bench.failed(bench.measure("--limit", "2"))
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert list((bench.folder / "results").iterdir()) == []


def test_models_that_do_not_fit_are_one_sentence(bench, monkeypatch):
    def load(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("hybrid.benchmark.block.load_engines", load)
    sentence = "error: The pair tiny does not fit into the memory of cpu. Free some of it.\n"
    assert bench.failed(bench.measure()) == sentence
    assert list_runs().runs == ()


def test_records_are_on_the_disk_before_the_memory_pass(bench, monkeypatch):
    synced = []
    fsync = os.fsync

    def noted(file: int) -> None:
        fsync(file)
        synced.append(os.fstat(file).st_ino)

    def peak(*_: Any) -> Memory:
        (path,) = (bench.folder / "results").glob("*/records.jsonl")
        assert synced[-1] == path.stat().st_ino
        return Memory(resident=2, before_model=1)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(use_case, "peak_memory", peak)
    bench.stored(bench.measure("--limit", "1"))


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
    stored = bench.stored(result, exit_code=1)
    assert len(stored.records) == 2
    assert "error: Run " in result.stderr
    assert "No space left on device" in result.stderr
    assert result.stderr.count(f"`hybrid bench --resume {stored.run.run_id}` goes on.") == 1
    assert len(bench.stored(bench.run("--resume", "latest")).records) == 6


def test_resuming_takes_the_plan_from_the_store(bench):
    message = bench.failed(bench.run("--resume", "latest", "--limit", "3", "--seed", "0"), exit_code=2)
    assert "--resume goes on with the stored plan; leave out --limit, --seed." in message
    columns = bench.run("--resume", "latest", "--columns", "source=a,reference=b")
    assert "leave out --columns" in bench.failed(columns, exit_code=2)


def test_what_cannot_be_resumed_is_one_sentence(bench):
    complete = bench.stored(bench.measure("--limit", "1", "--systems", "slm")).run.run_id
    assert f"error: Run {complete} is complete" in bench.failed(bench.run("--resume", complete))
    assert "There is no run '1999'" in bench.failed(bench.run("--resume", "1999"))


def as_process(*arguments: str, place: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "hybrid.cli", "bench", *arguments]
    environment = os.environ | {"HYBRID_RUNTIME": str(place / "tmp"), "PYTHONPATH": os.pathsep.join(sys.path)}
    # An ignored SIGINT is inherited and stays ignored, where pytest was started with a script's &.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=place
        )
    finally:
        signal.signal(signal.SIGINT, heard)


def test_ctrl_c_on_a_real_process_leaves_a_run_that_resumes(bench, monkeypatch):
    """And ends the process of its block."""
    arguments = ("file:suite.tsv", "--task", "translate-en-de", "--fixed-length", "200", "--no-memory")
    with as_process(*arguments, place=bench.folder) as process:
        deadline = time.monotonic() + 60
        while not any(summary.records for summary in list_runs().runs):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (measuring,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert not measuring.is_running()
    (run_id,) = out.splitlines()
    assert err.endswith(f"of 24 answers are stored; `hybrid bench --resume {run_id}` goes on.\n")
    assert "Traceback" not in err
    before = load_run(run_id).records
    assert 0 < len(before) < 24
    monkeypatch.setattr(block, "in_process", block.measure_block)  # which is quicker
    again = bench.stored(bench.run("--resume", run_id, "--no-memory"))
    assert again.records[: len(before)] == before
    assert [record.block for record in again.records] == [0] * 9 + [1] * 9 + [2] * 6
    assert len({(r.example_id, r.system) for r in again.records}) == 24
