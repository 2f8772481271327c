"""A run from its first record to its last, written by one process at a time, interrupted or not."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.schema import Memory, System
from hybrid.store import StoredRun, Writer
from hybrid.store.reading import key_of

FakeRun = Callable[..., StoredRun]
Start = Callable[..., Writer]
Interrupt = Callable[..., Path]
Python = Callable[..., subprocess.Popen[bytes]]
END = "2026-11-23T02:00:00+00:00"


def test_a_finished_run_comes_back_equal(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    with started(fake, tmp_path, len(fake.records)) as writer:
        memory = {
            "llm": Memory(resident=500, before_model=300),
            "hybrid": Memory(resident=400, before_model=300, device=7),
        }
        run = writer.finish(memory, END)
    assert run == replace(fake.run, memory=memory, finished_at=END)
    assert store.load_run(fake.run.run_id, tmp_path) == replace(fake, run=run)


def test_a_finished_run_is_three_files(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    started(fake, tmp_path, len(fake.records)).finish({}, END)
    folder = tmp_path / fake.run.run_id
    assert sorted(path.name for path in folder.iterdir()) == ["examples.jsonl", "records.jsonl", "run.json"]
    assert list(tmp_path.iterdir()) == [folder]
    row = json.loads((folder / "run.json").read_text())
    assert next(iter(row)) == "schema"
    assert (row["schema"], row["records"]) == (1, len(fake.records))
    assert row["records_bytes"] == (folder / "records.jsonl").stat().st_size


def test_a_record_is_in_the_file_when_append_returns(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    with started(fake, tmp_path) as writer:
        for n, record in enumerate(fake.records, start=1):
            writer.append([record])
            assert (tmp_path / fake.run.run_id / "records.jsonl").read_bytes().count(b"\n") == n
            assert key_of(record) in writer.done
            assert len(writer.done) == n


def test_each_append_is_one_write(
    fake: StoredRun, started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    write = os.write
    with started(fake, tmp_path) as writer:
        monkeypatch.setattr(os, "write", lambda file, data: writes.append(len(data)) or write(file, data))
        writer.append(fake.records[:3])
        writer.append(fake.records[3:4])
    assert len(writes) == 2


def test_the_disk_is_waited_for_every_ten_seconds_only(
    fake: StoredRun, started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    now = 100.0
    monkeypatch.setattr("hybrid.store.writing.time.monotonic", lambda: now)
    with started(fake, tmp_path) as writer:
        monkeypatch.setattr(os, "fsync", synced.append)
        for record in fake.records[:4]:
            writer.append([record])
            now += 5.0
        assert len(synced) == 1
    assert len(synced) == 2  # close() waits for the rest


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, int]]:
    """Which files, by inode, have been put on the disk, and with how many bytes."""
    sizes: set[tuple[int, int]] = set()
    fsync = os.fsync

    def noted(file: int) -> None:
        fsync(file)
        sizes.add((os.fstat(file).st_ino, os.fstat(file).st_size))

    monkeypatch.setattr(os, "fsync", noted)
    return sizes


def test_the_examples_of_a_new_run_outlast_a_power_failure(
    fake: StoredRun, started: Start, tmp_path: Path, synced: set[tuple[int, int]]
) -> None:
    with started(fake, tmp_path):
        for name in ("examples.jsonl", "run.json"):
            status = (tmp_path / fake.run.run_id / name).stat()
            assert (status.st_ino, status.st_size) in synced


def test_records_outlast_a_power_failure_when_that_is_asked_for(
    fake: StoredRun, started: Start, tmp_path: Path, synced: set[tuple[int, int]]
) -> None:
    with started(fake, tmp_path, 2) as writer:
        status = (tmp_path / fake.run.run_id / "records.jsonl").stat()
        assert (status.st_ino, status.st_size) not in synced
        writer.sync()
        assert (status.st_ino, status.st_size) in synced


def test_a_run_without_records_can_be_taken_back(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    with started(fake, tmp_path) as writer:
        writer.discard()
    assert list(tmp_path.iterdir()) == []
    with started(fake, tmp_path, 1) as writer, pytest.raises(ValueError, match="1 records of run"):
        writer.discard()
    assert len(store.load_run("latest", tmp_path).records) == 1


def test_a_record_is_stored_once(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    with started(fake, tmp_path, 1) as writer:
        for twice in (fake.records[:1], [fake.records[1], fake.records[1]]):
            with pytest.raises(ValueError, match="stored already or come twice"):
                writer.append(twice)
        assert writer.done == {key_of(fake.records[0])}


def test_a_record_of_another_run_is_refused(fake_run: FakeRun, started: Start, tmp_path: Path) -> None:
    stored = fake_run(systems=(System("llm"), System("slm")))
    with started(stored, tmp_path) as writer:
        for strange, reason in (
            (replace(stored.records[0], example_id="x"), "no example 'x'"),
            (replace(stored.records[0], repeat=1), "repeat is 1"),
            (fake_run().records[2], "no system hybrid"),
        ):
            with pytest.raises(ValueError, match=reason):
                writer.append([strange])
    assert store.load_run(stored.run.run_id, tmp_path).records == ()


def test_a_run_is_finished_only_when_it_is_whole(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    with started(fake, tmp_path, 8) as writer, pytest.raises(ValueError, match="8 of 9 records are stored"):
        writer.finish({}, END)
    assert not store.list_runs(tmp_path).runs[0].complete


def test_a_closed_run_takes_no_more(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    writer = started(fake, tmp_path)
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="is closed"):
        writer.append(fake.records[:1])


# One writer at a time


def test_the_second_writer_of_a_run_is_told_so(
    fake: StoredRun, started: Start, python: Python, tmp_path: Path
) -> None:
    error = f"Run {fake.run.run_id} is being written by another process"
    with started(fake, tmp_path, 1) as writer:
        with pytest.raises(StoreError, match=error):
            store.resume(fake.run.run_id, tmp_path)
        code = """
            import sys, pathlib
            from hybrid import store
            try:
                store.resume(sys.argv[1], pathlib.Path(sys.argv[2]))
            except store.reading.StoreError as error:
                print(error)
            """
        output, _ = python(code, fake.run.run_id, str(tmp_path)).communicate()
        assert output.decode().startswith(error)
        writer.append(fake.records[1:2])  # the first is not disturbed
    with store.resume(fake.run.run_id, tmp_path) as writer:
        assert len(writer.done) == 2


def test_what_is_being_written_can_be_read(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    with started(fake, tmp_path, 3):
        assert store.load_run(fake.run.run_id, tmp_path).records == fake.records[:3]
        (summary,) = store.list_runs(tmp_path).runs
        assert (summary.records, summary.complete) == (3, False)


def test_different_runs_are_written_side_by_side(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    with started(fake, tmp_path) as first, started(fake, tmp_path) as second:
        for record in fake.records:
            first.append([record])
            second.append([record])
        runs = [writer.finish({}, END) for writer in (first, second)]
    assert runs[0].run_id != runs[1].run_id
    for run in runs:
        assert store.load_run(run.run_id, tmp_path) == replace(fake, run=run)
