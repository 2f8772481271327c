"""What the tests of the store share: runs that are begun, let go, and written by other processes."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid import store
from hybrid.store import StoredRun, Writer


@pytest.fixture
def fake(fake_run: Callable[..., StoredRun]) -> StoredRun:
    """Nine records: three examples, three systems."""
    return fake_run()


@pytest.fixture
def started() -> Callable[..., Writer]:
    """started(fake, root, n): the run with its first n records stored one by one, still held."""

    def start(fake: StoredRun, root: Path, records: int = 0) -> Writer:
        writer = store.create(fake.run, fake.examples, root)
        for record in fake.records[:records]:
            writer.append([record])
        return writer

    return start


@pytest.fixture
def interrupted(started: Callable[..., Writer]) -> Callable[..., Path]:
    """interrupted(fake, root, n): the same, let go; returns its records.jsonl."""

    def interrupt(fake: StoredRun, root: Path, records: int) -> Path:
        with started(fake, root, records) as writer:
            return root / writer.run.run_id / "records.jsonl"

    return interrupt


@pytest.fixture
def python() -> Callable[..., subprocess.Popen[bytes]]:
    """python(code, *arguments): a light process of its own that can import hybrid.store."""

    def start(code: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
        clone = Path(__file__).parents[2]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=clone)

    return start
