"""`hybrid export` writes a run as it is read, in the memory of one part of it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid import store
from hybrid.schema import System
from hybrid.store import StoredRun

END = "2026-11-23T02:00:00+00:00"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no peak memory to be read here")
@pytest.mark.timeout(600)
def test_a_run_larger_than_memory_is_written_as_it_is_read(
    fake_run: Callable[..., StoredRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40,000 records of 40 tokens in one run, some 200 MB as objects, in the memory of one chunk."""
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))
    fake = fake_run(examples=200, repeats=200, systems=(System("llm"),), tokens=40)
    with store.create(fake.run, fake.examples) as writer:
        for start in range(0, len(fake.records), 1000):
            writer.append(fake.records[start : start + 1000])
        writer.finish({}, END)
    code = r"""if True:
        import re, sys
        from hybrid.cli import main
        main(["export", "latest", "--records", "-o", sys.argv[1]], standalone_mode=False)
        print(int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1]) / 1024)
        """
    command = [sys.executable, "-c", code, str(tmp_path / "a.csv")]
    megabytes = float(subprocess.run(command, capture_output=True, check=True).stdout)
    assert (tmp_path / "a.csv").read_bytes().count(b"\n") == 40_001
    assert megabytes < 200
