"""Deleting a run removes that run and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.presentation.examples.answers import read_answers
from hybrid.store import StoredRun, Writer, delete_run, list_runs
from hybrid.store.folders import LOCK

END = "2026-11-23T02:00:00+00:00"


@pytest.fixture
def run_id(fake: StoredRun, tmp_path: Path) -> str:
    """A complete run beside another one."""
    for _ in range(2):
        with store.create(fake.run, fake.examples, tmp_path) as writer:
            writer.append(fake.records)
            run_id = writer.finish({}, END).run_id
    return run_id


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def ids(root: Path) -> list[str]:
    return sorted(summary.run.run_id for summary in list_runs(root).runs)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_a_run_is_gone_and_the_others_stay(run_id: str, tmp_path: Path) -> None:
    (other,) = set(ids(tmp_path)) - {run_id}
    delete_run(run_id, tmp_path)
    assert ids(tmp_path) == [other]
    assert files(tmp_path) == sorted([other, *(f"{other}/{name}" for name in names(tmp_path / other))])


@pytest.mark.parametrize(
    "name", ["latest", "2026", "..", ".", "", "/etc", "nothing", "../{}", "{}/.", "{}\n"]
)
def test_only_a_whole_id_names_what_is_deleted(name: str, run_id: str, tmp_path: Path) -> None:
    before = files(tmp_path)
    with pytest.raises(StoreError):
        delete_run(name.format(run_id), tmp_path)
    assert files(tmp_path) == before


def test_a_run_that_is_being_written_stays(
    fake: StoredRun, tmp_path: Path, started: Callable[..., Writer]
) -> None:
    with started(fake, tmp_path, 2) as writer:
        with pytest.raises(StoreError, match="is being written by another process"):
            delete_run(writer.run.run_id, tmp_path)
        writer.append([fake.records[2]])
    assert list_runs(tmp_path).runs[0].records == 3
    delete_run(writer.run.run_id, tmp_path)  # interrupted now: its lock file means nothing
    assert files(tmp_path) == []


def test_what_a_crash_left_behind_goes_too(run_id: str, tmp_path: Path) -> None:
    for name in (".run.json.new", ".examples.jsonl.new", LOCK):
        (tmp_path / run_id / name).touch()
    delete_run(run_id, tmp_path)
    assert not (tmp_path / run_id).exists()


@pytest.mark.parametrize("name", ["notes.txt", "run.json.bak", "figures/a.png"])
def test_what_is_no_part_of_a_run_is_not_taken_along(name: str, run_id: str, tmp_path: Path) -> None:
    path = tmp_path / run_id / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    before = files(tmp_path)
    with pytest.raises(StoreError, match="which is no part of a run"):
        delete_run(run_id, tmp_path)
    assert files(tmp_path) == before


def test_links_are_not_followed(run_id: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (tmp_path / run_id).rename(outside)
    (tmp_path / run_id).symlink_to(outside)
    with pytest.raises(StoreError, match="There is no run"):
        delete_run(run_id, tmp_path)
    folder = tmp_path / "linked"
    folder.mkdir()
    for path in outside.iterdir():
        (folder / path.name).symlink_to(path)
    delete_run("linked", tmp_path)
    assert not folder.exists()
    assert sorted(names(outside)) == ["examples.jsonl", "records.jsonl", "run.json"]


def test_a_lock_that_leads_elsewhere_is_not_written_through(run_id: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / run_id / LOCK).symlink_to(target)
    with pytest.raises(StoreError, match="cannot be deleted"):
        delete_run(run_id, tmp_path)
    assert target.read_text() == "mine"
    assert run_id in ids(tmp_path)


def test_a_damaged_run_can_be_deleted(run_id: str, tmp_path: Path) -> None:
    (tmp_path / run_id / "run.json").write_text("{")
    delete_run(run_id, tmp_path)
    assert not (tmp_path / run_id).exists()


def test_what_was_computed_of_a_run_goes_with_it(
    run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    (other,) = set(ids(tmp_path)) - {run_id}
    texts = [read_answers(name, tmp_path)["text"].tolist() for name in (run_id, other)]
    assert texts[0] == texts[1]
    assert len(names(tmp_path / "cache" / "views")) == 2
    delete_run(run_id, tmp_path)
    (left,) = names(tmp_path / "cache" / "views")
    assert other in left
