"""A run from its first record to its last, written by one process at a time, interrupted or not."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.schema import Memory, Plan
from hybrid.store import StoredRun, Writer
from hybrid.store.reading import key_of

FakeRun = Callable[..., StoredRun]
Start = Callable[..., Writer]
Interrupt = Callable[..., Path]
Python = Callable[..., subprocess.Popen[bytes]]
END = "2026-11-23T02:00:00+00:00"


def test_a_finished_run_comes_back_equal(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    with started(fake, tmp_path, len(fake.records)) as writer:
        memory = {"llm": Memory(500, 300), "hybrid": Memory(400, 300, 7)}
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


def test_a_record_is_stored_once(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    with started(fake, tmp_path, 1) as writer:
        for twice in (fake.records[:1], [fake.records[1], fake.records[1]]):
            with pytest.raises(ValueError, match="stored already or come twice"):
                writer.append(twice)
        assert writer.done == {key_of(fake.records[0])}


def test_a_record_of_another_run_is_refused(fake_run: FakeRun, started: Start, tmp_path: Path) -> None:
    one = fake_run(systems=("llm", "slm"))
    with started(one, tmp_path) as writer:
        for strange, reason in (
            (replace(one.records[0], example_id="x"), "no example 'x'"),
            (replace(one.records[0], repeat=1), "repeat is 1"),
            (fake_run().records[2], "no system hybrid"),
        ):
            with pytest.raises(ValueError, match=reason):
                writer.append([strange])
    assert store.load_run(one.run.run_id, tmp_path).records == ()


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


# Ids


def test_an_id_says_when_and_what() -> None:
    plan = Plan("everyday-en-de", "", "translate-en-de", "en-de")
    now = datetime(2026, 11, 23, 2, 45, 12, tzinfo=timezone(timedelta(hours=1)))
    assert store.new_run_id(plan, now)[:-4] == "20261123-014512-everyday-en-de-"


@pytest.mark.parametrize(
    ("suite", "slug"),
    [
        ("sacrebleu:wmt20/en-de", "sacrebleu-wmt20-en-de"),
        ("hf:Some_User/Data.Set:en:test", "hf-some-user-data-set-en-test"),
        ("file:/home/somebody/secret/My texts.tsv", "my-texts"),
        ("file:../../данные.jsonl", "suite"),
        ("file:x" + "y" * 200, "x" + "y" * 39),
    ],
)
def test_any_suite_gives_an_id_that_is_a_plain_name(
    suite: str, slug: str, fake: StoredRun, tmp_path: Path
) -> None:
    run_id = store.new_run_id(Plan(suite, "", "summarize", "x"), datetime(2026, 1, 2, tzinfo=UTC))
    assert run_id[:-4] == f"20260102-000000-{slug}-"
    with store.create(replace(fake.run, run_id=run_id), fake.examples, tmp_path):
        assert store.find_run(run_id, tmp_path) == run_id


def test_a_taken_id_gets_other_digits(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    """As when the clock was set back, or two processes began in the same second."""
    ids = set()
    for _ in range(20):
        with started(fake, tmp_path, 1) as writer:
            assert writer.run.run_id[:-4] == fake.run.run_id[:-4]
            ids.add(writer.run.run_id)
    assert len(ids) == 20
    listing = store.list_runs(tmp_path)
    assert {one.run.run_id for one in listing.runs} == ids
    assert listing.problems == ()


def test_a_run_cannot_be_made_outside_the_folder(fake: StoredRun, tmp_path: Path) -> None:
    for run_id in ("../x", "/tmp/x", "", ".x", "a/b"):
        with pytest.raises(ValueError, match="not the id of a run"):
            store.create(replace(fake.run, run_id=run_id), fake.examples, tmp_path / "results")


# Resuming


def test_resume_goes_on_where_it_stopped(fake: StoredRun, interrupted: Interrupt, tmp_path: Path) -> None:
    interrupted(fake, tmp_path, 4)
    with store.resume(fake.run.run_id, tmp_path) as writer:
        assert writer.run == fake.run
        assert writer.examples == fake.examples
        assert writer.problems == ()
        assert writer.done == set(map(key_of, fake.records[:4]))
        writer.append(fake.records[4:])
        writer.finish({}, END)
    assert store.load_run("latest", tmp_path).records == fake.records


def test_whatever_is_cut_off_resumes_with_the_whole_appends(
    fake: StoredRun, started: Start, tmp_path: Path
) -> None:
    """What a killed write can leave of a batch of three after two single records."""
    with started(fake, tmp_path, 2) as writer:
        writer.append(fake.records[2:5])
    path = tmp_path / fake.run.run_id / "records.jsonl"
    whole = path.read_bytes()
    ends = [0]
    for line in whole.splitlines(keepends=True):
        ends.append(ends[-1] + len(line))
    lengths = {*range(0, len(whole), 7), *(end + i for end in ends for i in (-1, 0, 1))}
    for length in sorted(lengths & {*range(len(whole) + 1)}):
        path.write_bytes(whole[:length])
        kept = 5 if length == len(whole) else sum(end <= length for end in ends[1:3])
        loaded = store.load_run(fake.run.run_id, tmp_path)
        assert loaded.records == fake.records[:kept]
        assert loaded.problems == ()
        assert store.list_runs(tmp_path).runs[0].records == kept
        with store.resume(fake.run.run_id, tmp_path) as writer:
            assert len(writer.done) == kept
        assert path.read_bytes() == whole[: ends[kept]]


def test_zeros_that_a_power_failure_leaves_are_cut_off(
    fake: StoredRun, interrupted: Interrupt, tmp_path: Path
) -> None:
    path = interrupted(fake, tmp_path, 3)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(4096))
    assert len(store.load_run(fake.run.run_id, tmp_path).records) == 3
    store.resume(fake.run.run_id, tmp_path).close()
    assert path.read_bytes() == whole


def test_a_damaged_line_is_reported_kept_and_measured_again(
    fake: StoredRun, interrupted: Interrupt, tmp_path: Path
) -> None:
    path = interrupted(fake, tmp_path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = b'{"example": \xff broken\n'
    path.write_bytes(b"".join(lines))
    with store.resume(fake.run.run_id, tmp_path) as writer:
        assert writer.done == {key_of(record) for i, record in enumerate(fake.records[:4]) if i != 1}
        (problem,) = writer.problems
        assert problem.startswith(f"{path}, line 2, is damaged")
        writer.append([fake.records[1], *fake.records[4:]])
        writer.finish({}, END)
    loaded = store.load_run(fake.run.run_id, tmp_path)
    assert set(map(key_of, loaded.records)) == set(map(key_of, fake.records))
    assert loaded.problems == (problem,)
    assert path.read_bytes().startswith(b"".join(lines))


def test_a_complete_run_is_not_resumed(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    started(fake, tmp_path, len(fake.records)).finish({}, END)
    with pytest.raises(StoreError, match="is complete: there is nothing to resume"):
        store.resume(fake.run.run_id, tmp_path)
    assert not (tmp_path / fake.run.run_id / ".lock").exists()


def test_a_run_that_has_lost_examples_is_not_resumed(
    fake: StoredRun, interrupted: Interrupt, tmp_path: Path
) -> None:
    path = interrupted(fake, tmp_path, 2).with_name("examples.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"references"', b'"refs"', 1))
    with pytest.raises(StoreError, match=r"cannot be resumed: .*examples.jsonl, line 1, is damaged"):
        store.resume(fake.run.run_id, tmp_path)


def test_a_run_that_has_lost_its_records_begins_again(
    fake: StoredRun, interrupted: Interrupt, tmp_path: Path
) -> None:
    interrupted(fake, tmp_path, 2).unlink()
    with pytest.raises(StoreError, match=r"records.jsonl cannot be read: No such file"):
        store.load_run(fake.run.run_id, tmp_path)
    with store.resume(fake.run.run_id, tmp_path) as writer:
        assert writer.done == frozenset()
        writer.append(fake.records[:1])


# One writer at a time


def test_the_second_writer_of_a_run_is_told_so(
    fake: StoredRun, started: Start, python: Python, tmp_path: Path
) -> None:
    told = f"Run {fake.run.run_id} is being written by another process"
    with started(fake, tmp_path, 1) as writer:
        with pytest.raises(StoreError, match=told):
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
        assert output.decode().startswith(told)
        writer.append(fake.records[1:2])  # the first is not disturbed
    with store.resume(fake.run.run_id, tmp_path) as writer:
        assert len(writer.done) == 2


def test_what_is_being_written_can_be_read(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    with started(fake, tmp_path, 3):
        assert store.load_run(fake.run.run_id, tmp_path).records == fake.records[:3]
        (one,) = store.list_runs(tmp_path).runs
        assert (one.records, one.complete) == (3, False)


def test_different_runs_are_written_side_by_side(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    with started(fake, tmp_path) as one, started(fake, tmp_path) as two:
        for record in fake.records:
            one.append([record])
            two.append([record])
        runs = [writer.finish({}, END) for writer in (one, two)]
    assert runs[0].run_id != runs[1].run_id
    for run in runs:
        assert store.load_run(run.run_id, tmp_path) == replace(fake, run=run)
