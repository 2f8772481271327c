"""Stored runs are listed, found and loaded, and what is damaged or foreign hides nothing else."""

import os
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
NO_IDS = ("", ".", "..", "../x", "/etc", "a/b", "a\\b", ".lock", "a\0", "a\n", "ä", "x" * 200)


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


def test_records_are_read_one_at_a_time(fake: StoredRun, finished: Finish, tmp_path: Path) -> None:
    run = finished(fake, tmp_path)
    reader = store.RunReader("latest", tmp_path)
    records = reader.records()
    assert next(records) == fake.records[0]
    assert (reader.run, reader.examples) == (run, fake.examples)
    assert tuple(records) == fake.records[1:]
