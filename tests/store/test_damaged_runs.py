"""What is damaged or foreign in a stored run is named, and hides nothing else."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.schema import Run
from hybrid.store import StoredRun

Interrupt = Callable[..., Path]
Finish = Callable[..., Run]

NEWER = "it has schema 7 and this version reads 2; install a newer one"


def ids(root: Path) -> list[str]:
    return [summary.run.run_id for summary in store.list_runs(root).runs]


def test_what_is_no_run_is_let_be(fake: StoredRun, finished: Finish, tmp_path: Path) -> None:
    root = tmp_path / "results"
    finished(fake, root)
    finished(fake, tmp_path / "elsewhere", run_id="elsewhere")
    (root / "link").symlink_to(tmp_path / "elsewhere" / "elsewhere")
    (root / "README.md").write_text("words")
    (root / ".hidden").mkdir()
    (root / "empty").mkdir()
    (root / "begun").mkdir()  # as when a process was killed while it made a run
    (root / "begun" / "records.jsonl").touch()
    assert ids(root) == [fake.run.run_id]
    assert store.list_runs(root).problems == ()
    for name in ("link", "empty", "begun", "README.md"):
        with pytest.raises(StoreError):
            store.load_run(name, root)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "run.json cannot be read: it is not JSON: Input data was truncated."),
        (b"", "run.json cannot be read: it is not JSON: Input data was truncated."),
        (
            b'{"schema": 7}',
            "run.json cannot be read: it has schema 7 and this version reads 2; install a newer one.",
        ),
        (b'{"schema": 1, "run_id": "x"}', "run.json cannot be read: Object missing required field plan."),
        (bytes(17 * 2**20), "run.json cannot be read: it has more than 16777216 bytes."),
        (None, "run.json cannot be read: No such file or directory."),
    ],
)
def test_a_damaged_run_is_named_and_hides_no_other(
    fake: StoredRun, finished: Finish, tmp_path: Path, data: bytes | None, reason: str
) -> None:
    finished(fake, tmp_path)
    finished(fake, tmp_path, run_id="bad")
    path = tmp_path / "bad" / "run.json"
    path.unlink() if data is None else path.write_bytes(data)
    assert ids(tmp_path) == [fake.run.run_id]
    (problem,) = store.list_runs(tmp_path).problems
    assert problem == f"{tmp_path / 'bad'}/{reason}"
    with pytest.raises(StoreError) as caught:
        store.load_run("bad", tmp_path)
    assert str(caught.value) == problem


def test_links_and_pipes_inside_a_run_are_not_read(fake: StoredRun, finished: Finish, tmp_path: Path) -> None:
    finished(fake, tmp_path, run_id="link")
    finished(fake, tmp_path, run_id="pipe")
    secret = tmp_path / "secret.json"
    shutil.move(tmp_path / "link" / "run.json", secret)
    (tmp_path / "link" / "run.json").symlink_to(secret)
    (tmp_path / "pipe" / "run.json").unlink()
    os.mkfifo(tmp_path / "pipe" / "run.json")
    listing = store.list_runs(tmp_path)
    assert listing.runs == ()
    assert len(listing.problems) == 2
    assert any("pipe/run.json cannot be read: it is not a file." in problem for problem in listing.problems)


def test_records_cut_off_a_complete_run_are_noticed(
    fake: StoredRun, finished: Finish, tmp_path: Path
) -> None:
    run = finished(fake, tmp_path)
    path = tmp_path / run.run_id / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    (problem,) = store.list_runs(tmp_path).problems
    size = sum(map(len, lines))
    assert problem == f"{path} has {path.stat().st_size} bytes and had {size} when its run was finished."
    loaded = store.load_run("latest", tmp_path)
    assert len(loaded.records) == 7
    assert loaded.problems == (f"{path}: 2 of 9 records are damaged or missing.",)


def test_a_damaged_line_is_named_and_hides_no_other(
    fake: StoredRun, finished: Finish, tmp_path: Path
) -> None:
    run = finished(fake, tmp_path)
    path = tmp_path / run.run_id / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:40] + b"\n"
    lines[4] = lines[4].replace(b"news-1", b"news-9")
    lines[5] = lines[0]
    lines[6] = b"\n"
    path.write_bytes(b"".join(lines))
    loaded = store.load_run(run.run_id, tmp_path)
    assert loaded.records == tuple(fake.records[i] for i in (0, 1, 3, 7, 8))
    assert [problem.removeprefix(str(path)) for problem in loaded.problems] == [
        ", line 3, is damaged and left out: it is not JSON: Input data was truncated.",
        ", line 5, is damaged and left out: its checksum does not fit: it was changed after it was written.",
        ", line 6, is damaged and left out: it repeats example 'news-0', llm.",
        ", line 7, is damaged and left out: it is not JSON: Input data was truncated.",
        ": 4 of 9 records are damaged or missing.",
    ]


def test_a_complete_run_whose_last_line_end_is_lost_has_all_records(
    fake: StoredRun, finished: Finish, tmp_path: Path
) -> None:
    run = finished(fake, tmp_path)
    path = tmp_path / run.run_id / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    assert store.load_run(run.run_id, tmp_path) == replace(fake, run=run)


def test_many_damaged_lines_are_counted(fake: StoredRun, interrupted: Interrupt, tmp_path: Path) -> None:
    path = interrupted(fake, tmp_path, 2)
    path.write_bytes(b"x\n" * 1000 + path.read_bytes())
    loaded = store.load_run("latest", tmp_path)
    assert loaded.records == fake.records[:2]
    assert len(loaded.problems) == 11
    assert loaded.problems[-1] == f"{path} has 990 more damaged lines."


def test_a_damaged_example_is_named(fake: StoredRun, finished: Finish, tmp_path: Path) -> None:
    run = finished(fake, tmp_path)
    path = tmp_path / run.run_id / "examples.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"references":["Reference 1."', b'"references":[1', 1))
    loaded = store.load_run(run.run_id, tmp_path)
    assert [example.id for example in loaded.examples] == ["news-0", "news-2"]
    assert len(loaded.records) == 6
    assert loaded.problems[0] == (
        f"{path}, line 2, is damaged and left out: Expected str, got int - at $.references[0]."
    )


def test_any_bytes_are_read_without_an_accident(fake: StoredRun, finished: Finish, tmp_path: Path) -> None:
    """A bit flipped anywhere: the rest is there, and only what is not there is spoken of."""
    run = finished(fake, tmp_path)
    rng = random.Random(3)
    for name in ("records.jsonl", "examples.jsonl", "run.json"):
        path = tmp_path / run.run_id / name
        whole = path.read_bytes()
        for _ in range(150):
            data = bytearray(whole)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
            store.list_runs(tmp_path)
            try:
                loaded = store.load_run(run.run_id, tmp_path)
            except StoreError as error:
                assert name == "run.json", error  # noqa: PT017
            else:
                assert len(loaded.records) == 9 or loaded.problems
        path.write_bytes(whole)
