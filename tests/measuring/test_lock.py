"""One measurement at a time: the second names the holder, waits or gives up; a dead holder holds nothing."""

import errno
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from hybrid.errors import BusyError, HybridError, StoreError
from hybrid.measuring import lock
from hybrid.measuring.lock import LOCK, NOTE, measuring
from hybrid.schema import Event, Waiting
from hybrid.store.folders import runtime_folder

HOLD = """
import sys
from pathlib import Path
from hybrid.measuring.lock import measuring
with measuring("20261123-014512-everyday-en-de-3f9c", "everyday-en-de", folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the lock until its standard input is closed."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def busy(folder: Path, wait_s: float = 0.0) -> str:
    with pytest.raises(BusyError) as caught, measuring("mine", "mine", wait_s, folder=folder):
        pass
    return str(caught.value)


def test_the_second_is_told_who_holds_it_and_how_to_wait(tmp_path):
    with holder(tmp_path) as other:
        sentence = busy(tmp_path)
    who = f"process {other.pid}, run 20261123-014512-everyday-en-de-3f9c of everyday-en-de, since "
    assert sentence.startswith(f"Another measurement is running on this machine: {who}")
    assert re.search(
        r"since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\. Wait for it with --wait SECONDS", sentence
    )


def test_the_second_waits_until_the_first_ends(tmp_path):
    events: list[Event] = []
    with holder(tmp_path) as other:
        assert other.stdin is not None

        def ends_when_somebody_waits(event: Event) -> None:
            events.append(event)
            other.stdin.close()

        with measuring("mine", "suite", 100, ends_when_somebody_waits, tmp_path):
            assert json.loads((tmp_path / NOTE).read_text("utf-8"))["run_id"] == "mine"
    assert isinstance(events[0], Waiting)
    assert events[0].sentence.startswith(
        f"Waiting. Another measurement is running on this machine: process {other.pid}, "
    )


def test_waiting_has_an_end(tmp_path):
    with holder(tmp_path):
        start = time.monotonic()
        sentence = busy(tmp_path, wait_s=0.2)
        assert time.monotonic() - start >= 0.2
    assert "It did not end within 0.2 s; try a longer --wait SECONDS" in sentence


@pytest.mark.parametrize("wait_s", [float("nan"), -1.0])
def test_a_wait_without_an_end_is_refused(wait_s, tmp_path):
    refused = pytest.raises(ValueError, match="it must be 0 or more")
    with refused, measuring("mine", "suite", wait_s, folder=tmp_path):
        pass


def test_two_in_one_process_exclude_each_other_too(tmp_path):
    with measuring("first", "suite", folder=tmp_path):
        assert f"process {os.getpid()}, run first of suite" in busy(tmp_path)
    with measuring("second", "suite", folder=tmp_path):
        pass


def test_a_killed_holder_holds_nothing(tmp_path):
    with holder(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert str(other.pid) in (tmp_path / NOTE).read_text("utf-8")  # nobody took it back
        with measuring("mine", "suite", folder=tmp_path):
            assert json.loads((tmp_path / NOTE).read_text("utf-8"))["pid"] == os.getpid()


def test_the_note_of_a_dead_holder_is_not_believed(tmp_path):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    note = {"pid": done.pid, "run_id": "old", "suite": "old", "since": "2026-11-23T01:45:12+00:00"}
    with FileLock(tmp_path / LOCK):  # the next holder, before it has written its own
        (tmp_path / NOTE).write_text(json.dumps(note), "utf-8")
        sentence = busy(tmp_path)
    assert "machine: a process that left no note. Wait" in sentence


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[1]",
        b'{"pid": 1}',
        b'{"pid": "x", "run_id": "", "suite": "", "since": ""}',
        b'{"pid": %d, "run_id": "", "suite": "", "since": ""}' % 10**30,
        b'{"pid": 1, "run_id": "\\u001b[31m", "suite": "", "since": ""}',  # would paint the terminal
    ],
)
def test_a_damaged_note_leaves_the_holder_unnamed(note, tmp_path):
    with FileLock(tmp_path / LOCK):
        (tmp_path / NOTE).write_bytes(note)
        assert "a process that left no note" in busy(tmp_path)


def test_the_lock_is_released_and_the_note_emptied_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), measuring("mine", "suite", folder=tmp_path):
        raise KeyboardInterrupt
    assert (tmp_path / NOTE).read_text("utf-8") == ""
    with measuring("mine", "suite", folder=tmp_path):
        pass


def test_other_users_may_take_it_next(tmp_path):
    before = os.umask(0o077)
    try:
        with measuring("mine", "suite", folder=tmp_path):
            pass
    finally:
        os.umask(before)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in (LOCK, NOTE)} == {0o666}


def test_a_note_that_cannot_be_written_does_not_stop_a_measurement(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious", "utf-8")
    (tmp_path / NOTE).symlink_to(victim)
    with measuring("mine", "suite", folder=tmp_path):
        pass
    assert victim.read_text("utf-8") == "precious"  # no link was followed


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users have no numbers here")
def test_the_lock_lies_in_a_folder_of_the_users_own_wherever_temporary_files_go(tmp_path, monkeypatch):
    monkeypatch.delenv("HYBRID_RUNTIME", raising=False)
    for variable in ("TMPDIR", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)  # nobody here: made, refused as another's, taken away
    folder = Path("/tmp/hybrid-bench-4000000")
    try:
        with pytest.raises(StoreError, match="it belongs to another user"):
            runtime_folder()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        folder.rmdir()
    assert list(tmp_path.iterdir()) == []


def test_what_lies_in_the_place_of_the_note_neither_stops_nor_is_believed(tmp_path):
    os.mkfifo(tmp_path / NOTE)
    with measuring("mine", "suite", folder=tmp_path):  # neither waits for whoever reads the pipe
        assert lock.holder(tmp_path) is None  # nor for whoever writes into it
    (tmp_path / NOTE).unlink()
    (tmp_path / NOTE).write_bytes(b" " * lock.LARGEST_NOTE + b"{}")
    assert lock.holder(tmp_path) is None


def test_a_note_by_another_than_its_process_is_not_believed(tmp_path, monkeypatch):
    with measuring("mine", "suite", folder=tmp_path):
        assert lock.holder(tmp_path) is not None
        owner = type("Uids", (), {"real": os.getuid() + 1})
        monkeypatch.setattr("psutil.Process.uids", lambda _: owner)
        assert lock.holder(tmp_path) is None


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EROFS, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_lock_that_cannot_be_had_is_one_sentence(reason, tmp_path, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(FileLock, "acquire", refused)
    with pytest.raises(HybridError) as caught, measuring("mine", "suite", folder=tmp_path):
        pass
    message = str(caught.value)
    assert f"{tmp_path / LOCK}, cannot be taken" in message
    assert os.strerror(reason) in message
    assert ("its file system has no locks" in message) == (reason not in (errno.EACCES, errno.EROFS))
    assert "HYBRID_RUNTIME" in message


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that takes no files is not at hand")
@pytest.mark.parametrize("wait_s", [0.0, 1e6])
def test_a_folder_that_takes_no_files_is_no_other_measurement(wait_s):
    with pytest.raises(HybridError) as caught, measuring("mine", "suite", wait_s, folder=Path("/proc")):
        pass
    assert not isinstance(caught.value, BusyError)
    assert f"/proc/{LOCK}, cannot be taken: {os.strerror(errno.ENOENT)}." in str(caught.value)


def test_a_file_system_without_locks_gives_no_soft_ones(tmp_path, monkeypatch):
    def refused(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.raises(HybridError, match="no locks"), measuring("mine", "suite", folder=tmp_path):
        pass
