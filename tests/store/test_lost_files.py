"""A run or a grid whose files vanish, move or are replaced while it is written is never taken for stored."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid.errors import StoreError
from hybrid.store import StoredRun, Writer

Start = Callable[..., Writer]
END = "2026-11-23T02:00:00+00:00"


def replaced(path: Path) -> None:
    """Another file of the same content in its place, as a sync of folders makes it."""
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)


LOSSES: dict[str, Callable[[Path], object]] = {
    "the records are removed": lambda folder: (folder / "records.jsonl").unlink(),
    "the records are replaced": lambda folder: replaced(folder / "records.jsonl"),
    "the records become a link": lambda folder: (
        (folder / "records.jsonl").rename(folder.parent / "elsewhere"),
        (folder / "records.jsonl").symlink_to(folder.parent / "elsewhere"),
    ),
    "the folder is removed": shutil.rmtree,
    "the folder is moved": lambda folder: folder.rename(folder.with_name("moved")),
    "the folder is replaced": lambda folder: (
        folder.rename(folder.with_name("moved")),
        shutil.copytree(folder.with_name("moved"), folder),
    ),
    "the texts are removed": lambda folder: (folder / "examples.jsonl").unlink(),
    "run.json is removed": lambda folder: (folder / "run.json").unlink(),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_it_is_noticed_at_the_end_at_the_latest(
    loss: str, fake: StoredRun, started: Start, tmp_path: Path
) -> None:
    with started(fake, tmp_path, 8) as writer:
        folder = tmp_path / writer.run.run_id
        assert not writer.lost
        LOSSES[loss](folder)
        assert writer.lost
        sentence = rf"^Run {folder.name} cannot be written: .*{folder.name}.* Start anew\.$"
        with pytest.raises(StoreError, match=sentence):  # noqa: PT012  # whichever comes first
            writer.append(fake.records[8:])
            writer.finish({}, END)
    stored = folder / "run.json"
    assert not stored.exists() or b'"finished_at": null' in stored.read_bytes()
