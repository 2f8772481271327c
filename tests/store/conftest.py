"""What the tests of the store share: runs that are begun, let go, and written by other processes."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid import store
from hybrid.schema import Cell, Run
from hybrid.store import StoredRun, Writer
from hybrid.store.grids import create_grid
from tests.store.archives import names
from tests.store.grids import ID, grid

END = "2026-11-23T02:00:00+00:00"
PARTS = ("run.json", "examples.jsonl", "records.jsonl")


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


@pytest.fixture
def finished(started: Callable[..., Writer]) -> Callable[..., Run]:
    """finished(fake, root, run_id=..., created_at=...): the whole run, stored."""

    def finish(fake: StoredRun, root: Path, **changes: str) -> Run:
        fake = replace(fake, run=replace(fake.run, **changes))
        with started(fake, root, len(fake.records)) as writer:
            return writer.finish({}, END)

    return finish


@pytest.fixture
def killed(tmp_path: Path) -> Callable[..., Path]:
    """killed(cells, tail): the file of a grid whose process left `tail` behind its last whole line."""

    def make(cells: list[Cell], tail: bytes = b"") -> Path:
        with create_grid(grid(), tmp_path) as writer:
            writer.append(cells)
        path = tmp_path / "grids" / f"{ID}.jsonl"
        with path.open("ab") as file:
            file.write(tail)
        return path

    return make


@pytest.fixture
def files(fake: StoredRun, tmp_path: Path) -> dict[str, bytes]:
    """The bytes of a complete run that is stored elsewhere."""
    with store.create(fake.run, fake.examples, tmp_path / "elsewhere") as writer:
        writer.append(fake.records)
        run = writer.finish({}, END)
    folder = tmp_path / "elsewhere" / run.run_id
    return {name: (folder / name).read_bytes() for name in PARTS}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The results. Whatever a test does, nothing may be left in them but runs, and nothing beside them."""
    (tmp_path / "results").mkdir()
    beside = set(names(tmp_path)) | {"elsewhere"}
    yield tmp_path / "results"
    assert not [name for name in names(tmp_path / "results") if name.startswith(".")]
    assert set(names(tmp_path)) <= beside
