"""The store's bars: what it imports, how long listing and loading take, and in how much memory."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.schema import System
from hybrid.store import StoredRun, Writer

FakeRun = Callable[..., StoredRun]
Start = Callable[..., Writer]
END = "2026-11-23T02:00:00+00:00"
HEAVY = {"torch", "numpy", "pandas", "rich", "filelock"}


def test_reading_needs_no_heavy_library() -> None:
    code = "import sys, hybrid.store; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(process.stdout.split())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no peak memory to be read here")
@pytest.mark.timeout(600)
def test_400_000_records_are_listed_and_loaded_in_time(
    fake_run: FakeRun, started: Start, tmp_path: Path
) -> None:
    """The bars of the store: 200 runs of 2,000 records of 40 tokens."""
    fake = fake_run(examples=200, repeats=5, systems=(System("llm"), System("hybrid")), tokens=40)
    with started(fake, tmp_path) as writer:
        for record in fake.records:
            writer.append(
                [replace(record, statistics={"bleu": (9.0,) * 10, "chrf": (99.0,) * 18, "ter": (1.0, 2.0)})]
            )
        writer.finish({}, END)
    for i in range(199):
        shutil.copytree(tmp_path / fake.run.run_id, tmp_path / f"20260101-{i:06}-copy")
    started_at = time.perf_counter()
    command = [sys.executable, "-m", "hybrid.cli", "runs"]
    environment = os.environ | {"HYBRID_RESULTS": str(tmp_path)}
    listed = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
    listing_s = time.perf_counter() - started_at
    assert listing_s < 1.0
    assert listed.count(b"\n") == 201
    code = r"""if True:
        import re, time
        from hybrid import store
        runs = store.list_runs().runs[:5]
        start = time.perf_counter()
        loaded = [store.load_run(one.run.run_id) for one in runs]
        print((time.perf_counter() - start) / 5)
        print(int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1]) / 1024)
        """
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    seconds, megabytes = map(float, process.stdout.split())
    print(f"\nhybrid runs: {listing_s:.2f} s; one run: {seconds:.2f} s; five: {megabytes:.0f} MiB")  # noqa: T201
    assert seconds < 0.5
    assert megabytes < 1000
