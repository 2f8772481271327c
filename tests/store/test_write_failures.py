"""Disks that are full, broken or read-only: one sentence, and nothing that was stored is lost."""

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.store import StoredRun, Writer

Start = Callable[..., Writer]
Interrupt = Callable[..., Path]
Python = Callable[..., subprocess.Popen[bytes]]
END = "2026-11-23T02:00:00+00:00"


def fails(number: int) -> Callable[..., NoReturn]:
    """What a system call does that the system refuses."""

    def call(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return call


def test_a_full_disk_loses_nothing(
    fake: StoredRun, started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / fake.run.run_id / "records.jsonl"
    write = os.write

    def full(file: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", fails(errno.ENOSPC))
        return write(file, data[:100])  # the last bytes that fit

    with started(fake, tmp_path, 3) as writer:
        before = path.read_bytes()
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(StoreError) as caught:
            writer.append(fake.records[3:5])
        run_id = fake.run.run_id
        assert str(caught.value) == (
            f"Run {run_id} cannot be written: No space left on device. The records so far are kept: "
            f"when that is mended, `hybrid bench --resume {run_id}` goes on."
        )
        assert path.read_bytes() == before
        assert len(writer.done) == 3
        monkeypatch.setattr(os, "write", write)
        writer.append(fake.records[3:5])  # there is room again
    assert store.load_run(run_id, tmp_path).records == fake.records[:5]


def test_half_a_line_that_cannot_be_cut_off_ends_the_writer(
    fake: StoredRun, started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / fake.run.run_id / "records.jsonl"
    write = os.write

    def torn(file: int, data: bytes) -> int:
        write(file, data[:50])
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with started(fake, tmp_path, 3) as writer:
        with monkeypatch.context() as broken:
            broken.setattr(os, "write", torn)
            broken.setattr(os, "ftruncate", fails(errno.EIO))
            with pytest.raises(StoreError, match="Input/output error"):
                writer.append(fake.records[3:4])
        with pytest.raises(ValueError, match="is closed"):
            writer.append(fake.records[3:4])
    assert not path.read_bytes().endswith(b"\n")
    with store.resume(fake.run.run_id, tmp_path) as writer:
        assert len(writer.done) == 3
    assert path.read_bytes().endswith(b"\n")


def test_a_file_that_may_not_grow_is_cut_back(
    fake: StoredRun, interrupted: Interrupt, python: Python, tmp_path: Path
) -> None:
    """A real limit, in a process of its own: the system takes a part of the line, then no more."""
    path = interrupted(fake, tmp_path, 3)
    size = path.stat().st_size
    code = """
        import pathlib, resource, sys
        from dataclasses import replace
        from hybrid import store
        run, root, limit = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
        made = store.load_run(run, root).records[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        writer = store.resume(run, root)
        writer.append([replace(made, example_id="news-2")])
        """
    _, errors = python(code, fake.run.run_id, str(tmp_path), str(size + 200)).communicate()
    sentence = f"Run {fake.run.run_id} cannot be written: File too large. The records so far are kept"
    assert f"StoreError: {sentence}" in errors.decode()
    assert path.stat().st_size == size
    assert len(store.load_run(fake.run.run_id, tmp_path).records) == 3


def test_an_interrupt_leaves_whole_lines(
    fake: StoredRun, started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def interrupt(file: int, data: bytes) -> int:
        write(file, data[:10])
        raise KeyboardInterrupt

    writer = started(fake, tmp_path, 3)
    monkeypatch.setattr(os, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        writer.append(fake.records[3:4])
    writer.close()
    assert (tmp_path / fake.run.run_id / "records.jsonl").read_bytes().endswith(b"\n")


def test_no_room_for_a_new_run_leaves_no_folder(
    fake: StoredRun, started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", fails(errno.ENOSPC))
    with pytest.raises(
        StoreError, match=r"No run can be stored in .*: No space left on device. HYBRID_RESULTS"
    ):
        started(fake, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_room_to_finish_leaves_a_run_that_resumes(
    fake: StoredRun, started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(fake, tmp_path, len(fake.records)) as writer:
        with monkeypatch.context() as broken:
            broken.setattr(Path, "replace", fails(errno.ENOSPC))
            with pytest.raises(StoreError, match="No space left on device"):
                writer.finish({}, END)
        assert store.list_runs(tmp_path).runs[0].run == fake.run
    with store.resume(fake.run.run_id, tmp_path) as writer:
        assert writer.finish({}, END).finished_at == END
    assert store.list_runs(tmp_path).problems == ()


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(
    fake: StoredRun, started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "results"
    root.write_text("a file in its place")
    with pytest.raises(StoreError, match=r"No run can be stored in .*results: File exists. HYBRID_RESULTS"):
        started(fake, root)
    with pytest.raises(StoreError, match=r"No run can be stored in .*results: File exists. HYBRID_RESULTS"):
        store.check_writable(root)
    store.check_writable(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []

    monkeypatch.setattr(Path, "mkdir", fails(errno.EROFS))
    with pytest.raises(StoreError, match="Read-only file system"):
        started(fake, tmp_path / "other")


def test_a_run_on_a_read_only_disk_is_not_resumed(
    fake: StoredRun, interrupted: Interrupt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(fake, tmp_path, 2)
    opened = os.open

    def read_only(path: Path, flags: int, *more: int, **named: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(StoreError, match="cannot be resumed: Read-only file system"):
        store.resume(fake.run.run_id, tmp_path)
    assert len(store.load_run(fake.run.run_id, tmp_path).records) == 2
