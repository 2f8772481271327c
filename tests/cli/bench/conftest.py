"""What the tests of `hybrid bench` share: the command in a folder of its own, over the tiny pair."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from hybrid.benchmark import block
from hybrid.benchmark import run as use_case
from hybrid.schema import Memory, Probe
from hybrid.store import StoredRun, load_run

LINES = [
    f"d\tThe house number {n} by the river is old.\tDas Haus Nummer {n} am Fluss ist alt.\n" for n in range(8)
]
PROBE = Probe(taken_at="2026-11-23T01:45:12+00:00", bandwidth=10e9, product_s=0.004, cpu_share=1.0)


@dataclass(frozen=True)
class Command:
    """`hybrid bench` in `folder`, which holds suite.tsv of 8 `lines`, the results and the lock."""

    folder: Path
    invoke: Callable[..., Result]
    lines: tuple[str, ...] = tuple(LINES)

    def run(self, *arguments: str) -> Result:
        return self.invoke("bench", *arguments)

    def measure(self, *arguments: str) -> Result:
        fixed = ("--task", "translate-en-de", "--max-new-tokens", "6", "--engine", "torch", "--blocks", "1")
        return self.run("file:suite.tsv", *fixed, *arguments)

    def stored(self, result: Result, exit_code: int = 0) -> StoredRun:
        """The run whose id is the only line on stdout."""
        assert result.exit_code == exit_code, result.output
        assert result.stdout.count("\n") == 1
        stored = load_run(result.stdout.rstrip("\n"))
        assert stored.problems == ()
        return stored

    def failed(self, result: Result, exit_code: int = 1) -> str:
        """What a command that stored nothing said."""
        assert result.exit_code == exit_code, result.output
        assert result.stdout == ""
        return result.stderr

    def stop_after(self, items: int, patch: pytest.MonkeyPatch, how: BaseException | None = None) -> None:
        """Let the benchmark end with `how`, or with SIGTERM, after so many items."""
        stream = block.measure_records

        def stopped(*arguments: Any, **more: Any) -> Iterator[Any]:
            measured = stream(*arguments, **more)
            for _ in range(items):
                yield next(measured)
            if how is not None:
                raise how
            os.kill(os.getpid(), signal.SIGTERM)
            yield from measured

        patch.setattr(block, "measure_records", stopped)


@pytest.fixture
def bench(run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, with passes over memory that only pretend."""
    (tmp_path / "suite.tsv").write_text("".join(LINES), "utf-8")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("HYBRID_RUNTIME", str(tmp_path / "tmp"))
    monkeypatch.setattr(use_case, "peak_memory", lambda *_: Memory(resident=2, before_model=1))
    monkeypatch.setattr(block, "take_probe", lambda *_, **__: PROBE)
    monkeypatch.chdir(tmp_path)
    return Command(tmp_path, run)
