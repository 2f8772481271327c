"""Folders and files that take their place whole: what a killed process leaves is never taken for one."""

import os
import time
from pathlib import Path

import pytest

from hybrid.store.files import STALE_S, clear_stale, old_folder, open_atomic, open_folder_atomic


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_is_not_seen_before_it_is_whole(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with open_folder_atomic(tmp_path / "pair") as new:
            (new / "pair.json").write_text(content)
            visible = {path.parent.name for path in tmp_path.glob("[!.]*/pair.json")}
            assert visible == ({"pair"} if content == "second" else set())
        assert (tmp_path / "pair" / "pair.json").read_text() == content
        assert names(tmp_path) == {"pair"}


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "pair").mkdir()

    def fail() -> None:
        with open_folder_atomic(tmp_path / "pair") as new:
            (new / "half").touch()
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert names(tmp_path) == {"pair"}
    assert names(tmp_path / "pair") == set()


def test_what_killed_processes_left_goes_when_the_next_folder_is_written(tmp_path: Path) -> None:
    for folder in (tmp_path / ".pair.new", old_folder(tmp_path / "pair")):
        folder.mkdir()
        (folder / "half").touch()
    with open_folder_atomic(tmp_path / "pair") as new:
        assert names(new) == set()
    assert names(tmp_path) == {"pair"}


def test_only_what_was_left_long_ago_is_cleared(tmp_path: Path) -> None:
    for name in (".a.0123abcd.new", ".b.0123abcd.new", "c.new", ".d"):
        (tmp_path / name).touch()
    (tmp_path / ".folder.new").mkdir()
    (tmp_path / ".folder.new" / "model.bin").touch()
    for name in (".a.0123abcd.new", "c.new", ".d", ".folder.new"):
        os.utime(tmp_path / name, (time.time() - STALE_S - 60,) * 2)
    with open_atomic(tmp_path / "e") as file:  # under way
        file.write(b"e")
        clear_stale(tmp_path)
    assert names(tmp_path) == {".b.0123abcd.new", "c.new", ".d", "e"}
    clear_stale(tmp_path / "not there")
