"""Stored runs are listed, found and loaded, and what is damaged or foreign hides nothing else."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import hybrid
from hybrid import store
from hybrid.errors import StoreError
from hybrid.schema import Run
from hybrid.store import StoredRun, Writer

FakeRun = Callable[..., StoredRun]
Start = Callable[..., Writer]
Interrupt = Callable[..., Path]
END = "2026-11-23T02:00:00+00:00"
OLD = "2025-01-01T00:00:00+00:00"
NEWER = "it has schema 7 and this version reads 1; install a newer one"
NO_IDS = ("", ".", "..", "../x", "/etc", "a/b", "a\\b", ".lock", "a\0", "a\n", "ä", "x" * 200)


@pytest.fixture
def finished(started: Start) -> Callable[..., Run]:
    """finished(fake, root, run_id=..., created_at=...): the whole run, stored."""

    def finish(fake: StoredRun, root: Path, **changes: str) -> Run:
        fake = replace(fake, run=replace(fake.run, **changes))
        with started(fake, root, len(fake.records)) as writer:
            return writer.finish({}, END)

    return finish


Finish = Callable[..., Run]


def ids(root: Path) -> list[str]:
    return [summary.run.run_id for summary in store.list_runs(root).runs]


# Where runs lie


def test_the_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path))
    assert store.results_folder() == tmp_path
    monkeypatch.delenv("HYBRID_RESULTS")
    assert store.results_folder() == Path(hybrid.__file__).parents[1] / "results"


def test_no_folder_is_no_runs(tmp_path: Path) -> None:
    assert store.list_runs(tmp_path / "none") == store.Listing((), ())
    assert not (tmp_path / "none").exists()
    with pytest.raises(StoreError, match=r"There are no runs in .*none. `hybrid bench` makes one"):
        store.load_run("latest", tmp_path / "none")


def test_a_file_in_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    with pytest.raises(StoreError, match=r"results cannot be read: Not a directory\. HYBRID_RESULTS"):
        store.list_runs(tmp_path / "results")


# Listing


def test_runs_are_listed_the_newest_first(fake: StoredRun, finished: Finish, tmp_path: Path) -> None:
    finished(fake, tmp_path, run_id="b-1", created_at="2026-11-23T10:00:00+02:00")
    finished(fake, tmp_path, run_id="a-2", created_at="2026-11-23T08:30:00+00:00")
    finished(fake, tmp_path, run_id="c-3", created_at="2026-11-23T08:15:00")
    assert ids(tmp_path) == ["a-2", "c-3", "b-1"]


@pytest.mark.parametrize("created_at", ["", "yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59"])
def test_a_run_of_no_time_is_damaged(
    fake: StoredRun, finished: Finish, tmp_path: Path, created_at: str
) -> None:
    finished(fake, tmp_path, run_id="a", created_at=END)
    finished(fake, tmp_path, run_id="b", created_at=created_at)
    listing = store.list_runs(tmp_path)
    assert [summary.run.run_id for summary in listing.runs] == ["a"]
    assert listing.damaged == ("b",)
    assert created_at in listing.problems[0]


def test_a_listing_says_how_far_each_run_came(
    fake: StoredRun, finished: Finish, interrupted: Interrupt, tmp_path: Path
) -> None:
    run = finished(fake, tmp_path)
    interrupted(replace(fake, run=replace(fake.run, run_id="other", created_at=OLD)), tmp_path, 4)
    summary, other = store.list_runs(tmp_path).runs
    assert (summary.run, summary.records, summary.complete) == (run, 9, True)
    assert (other.run.run_id, other.records, other.complete) == ("other", 4, False)


def test_a_large_run_that_is_not_complete_is_listed_by_its_lines(
    fake: StoredRun, interrupted: Interrupt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = interrupted(fake, tmp_path, 4)
    path.write_bytes(path.read_bytes() + b"x\n")
    listing = store.list_runs(tmp_path)
    assert (listing.runs[0].records, len(listing.problems)) == (4, 1)
    monkeypatch.setattr("hybrid.store.reading.LARGE", path.stat().st_size)
    listing = store.list_runs(tmp_path)
    assert (listing.runs[0].records, listing.problems) == (5, ())


def test_records_of_complete_runs_are_not_read(
    fake: StoredRun, finished: Finish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(fake, tmp_path)
    opened: list[str] = []
    system_open = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *more: opened.append(Path(path).name) or system_open(path, *more)
    )
    store.list_runs(tmp_path)
    assert opened == ["run.json"]


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
            "run.json cannot be read: it has schema 7 and this version reads 1; install a newer one.",
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


def test_a_renamed_folder_is_a_run_of_that_name(fake: StoredRun, finished: Finish, tmp_path: Path) -> None:
    finished(fake, tmp_path)
    (tmp_path / fake.run.run_id).rename(tmp_path / "my-best")
    assert ids(tmp_path) == ["my-best"]
    assert store.load_run("my-best", tmp_path).run.run_id == "my-best"
    (tmp_path / "my-best").rename(tmp_path / "my best\udcff")
    listing = store.list_runs(tmp_path)
    assert listing.runs == ()
    assert listing.problems[0].endswith("may have only A-Z, a-z, 0-9, - and _: rename it.")
    listing.problems[0].encode()  # can be printed


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


# Finding


def test_a_run_is_found_by_its_beginning(fake: StoredRun, finished: Finish, tmp_path: Path) -> None:
    for run_id in ("2026-a", "2026-ab", "2025-x"):
        finished(fake, tmp_path, run_id=run_id)
    assert store.find_run("2025", tmp_path) == "2025-x"
    assert store.find_run("2026-a", tmp_path) == "2026-a"  # an id goes before a beginning
    assert store.find_run("latest", tmp_path) == ids(tmp_path)[0]
    with pytest.raises(StoreError) as caught:
        store.find_run("2026", tmp_path)
    assert str(caught.value) == "2026 is the beginning of several runs: 2026-a, 2026-ab. Say more of it."
    with pytest.raises(StoreError, match=r"There is no run '2027'\. `hybrid runs` lists"):
        store.find_run("2027", tmp_path)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "../x", "/etc", "a/b", "a\\b", ".lock", "a\0", "a\n", "ä", "x" * 200]
)
def test_what_can_be_no_id_is_refused(text: str, tmp_path: Path) -> None:
    for function in (store.load_run, store.resume):
        with pytest.raises(StoreError, match="is not the id of a run"):
            function(text, tmp_path)


# Loading


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


def test_records_are_read_one_at_a_time(fake: StoredRun, finished: Finish, tmp_path: Path) -> None:
    run = finished(fake, tmp_path)
    reader = store.RunReader("latest", tmp_path)
    records = reader.records()
    assert next(records) == fake.records[0]
    assert (reader.run, reader.examples) == (run, fake.examples)
    assert tuple(records) == fake.records[1:]
