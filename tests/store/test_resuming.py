"""Going on with a run that was ended early, whatever its end left behind, here or elsewhere."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.schema import Resumption
from hybrid.store import StoredRun, Writer
from hybrid.store.reading import key_of

Start = Callable[..., Writer]
Interrupt = Callable[..., Path]
END = "2026-11-23T02:00:00+00:00"


def test_resume_goes_on_where_it_stopped(fake: StoredRun, interrupted: Interrupt, tmp_path: Path) -> None:
    interrupted(fake, tmp_path, 4)
    with store.resume(fake.run.run_id, tmp_path) as writer:
        assert writer.run == fake.run
        assert writer.examples == fake.examples
        assert writer.problems == ()
        assert writer.done == set(map(key_of, fake.records[:4]))
        assert writer.earlier == fake.records[:4]
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
        records = 5 if length == len(whole) else sum(end <= length for end in ends[1:3])
        loaded = store.load_run(fake.run.run_id, tmp_path)
        assert loaded.records == fake.records[:records]
        assert loaded.problems == ()
        assert store.list_runs(tmp_path).runs[0].records == records
        with store.resume(fake.run.run_id, tmp_path) as writer:
            assert len(writer.done) == records
        assert path.read_bytes() == whole[: ends[records]]


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
    listing = store.list_runs(tmp_path)
    assert (listing.runs[0].records, len(listing.problems)) == (3, 1)
    with store.resume(fake.run.run_id, tmp_path) as writer:
        assert writer.done == {key_of(record) for i, record in enumerate(fake.records[:4]) if i != 1}
        (problem,) = writer.problems
        assert problem.startswith(f"{path}, line 2, is damaged")
        assert listing.problems == (problem,)
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


def test_a_run_that_has_lost_whole_examples_is_not_resumed(
    fake: StoredRun, interrupted: Interrupt, tmp_path: Path
) -> None:
    """As when a file system, after a power failure, has only the beginning of the file."""
    path = interrupted(fake, tmp_path, 2).with_name("examples.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(StoreError, match=r"cannot be resumed: .*examples.jsonl has 2 examples and 3 were"):
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


# Going on elsewhere


def test_where_a_run_went_on_is_stored_before_it_does(
    fake: StoredRun, interrupted: Interrupt, tmp_path: Path
) -> None:
    interrupted(fake, tmp_path, 4)
    home, elsewhere = fake.run.environment, replace(fake.run.environment, cpu="Another CPU")
    with store.resume(fake.run.run_id, tmp_path) as writer:
        assert writer.environment == home
        writer.move(elsewhere)
        moved = replace(fake.run, resumptions=(Resumption(records_before=4, environment=elsewhere),))
        assert writer.run == store.load_run("latest", tmp_path).run == moved
        writer.append(fake.records[4:6])
    with store.resume(fake.run.run_id, tmp_path) as writer:
        assert writer.environment == elsewhere
        writer.move(elsewhere)
        assert writer.run == moved
        writer.append(fake.records[6:7])
    with store.resume(fake.run.run_id, tmp_path) as writer:
        writer.move(home)
        writer.append(fake.records[7:])
        run = writer.finish({}, END)
    assert run.resumptions == (
        Resumption(records_before=4, environment=elsewhere),
        Resumption(records_before=7, environment=home),
    )
    assert store.load_run("latest", tmp_path) == replace(fake, run=run)


def test_where_nothing_was_measured_is_forgotten(
    fake: StoredRun, interrupted: Interrupt, tmp_path: Path
) -> None:
    interrupted(fake, tmp_path, 4)
    home, elsewhere = fake.run.environment, replace(fake.run.environment, cpu="Another CPU")
    for here in (elsewhere, replace(elsewhere, python="3.99.0"), home):
        with store.resume(fake.run.run_id, tmp_path) as writer:
            assert writer.environment == home
            writer.move(here)
        stored = store.load_run("latest", tmp_path).run
        assert stored.resumptions == (
            () if here == home else (Resumption(records_before=4, environment=here),)
        )
        assert stored.environment == home


def test_a_run_without_records_begins_where_it_is_resumed(
    fake: StoredRun, interrupted: Interrupt, tmp_path: Path
) -> None:
    interrupted(fake, tmp_path, 0)
    elsewhere = replace(fake.run.environment, cpu="Another CPU")
    with store.resume(fake.run.run_id, tmp_path) as writer:
        writer.move(elsewhere)
    assert store.load_run("latest", tmp_path).run == replace(fake.run, environment=elsewhere)
