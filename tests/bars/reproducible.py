"""`python -m tests.bars.reproducible`: do intervals hold on one machine, and is a busy one noticed?

Runs of one benchmark, one after another, some of them beside a process that burns a core and streams
memory. The interval of every undisturbed run must hold the mean speed-up of them all, and the disturbed
ones, and no others, be marked as measured on a busy machine. It takes some ten minutes on two cores.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from rich import box
from rich.console import Console
from rich.table import Table

from hybrid import Plan, compare_runs, load_run, run_benchmark
from hybrid.benchmark.plan_options import bench_command
from hybrid.cli.console import Terminal
from hybrid.compare import Ratio
from hybrid.format import ratio
from hybrid.measuring.probes import busy_reasons
from tests.bars.bar import Bar

# A product of matrices burns the core, a sum of 256 MB streams the memory.
NEIGHBOUR = """
import numpy as np
streamed, matrix = np.ones(2**25), np.ones((256, 256))
while True:
    streamed.sum()
    matrix @ matrix
"""


@dataclass(frozen=True)
class Measured:
    """One run. beside: whether something else ran beside it."""

    run_id: str
    beside: bool
    speedup: Ratio
    busy: Sequence[str]


def main() -> int:
    """Measure, print a table and the bars, and return 1 when one is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bars.reproducible", description=main.__doc__)
    parser.add_argument("--suite", default="everyday-en-de@1")
    parser.add_argument("--limit", type=int, help="examples; all by default")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--disturbed", type=int, nargs="*", default=[1, 3], help="which runs, from 0")
    parser.add_argument("--results", type=Path, help="folder that keeps them; a temporary one by default")
    arguments = parser.parse_args()
    root = arguments.results or Path(mkdtemp(prefix="hybrid-bars-"))
    plan = Plan(arguments.suite, limit=arguments.limit, memory=False)
    Console(stderr=True).print(f"{arguments.runs} x {bench_command(plan)}, in {root}", markup=False)
    runs = [measure(plan, number in arguments.disturbed, root) for number in range(arguments.runs)]
    table = Table("run", "beside", "hybrid", "between ±", "within ±", "busy", box=box.MARKDOWN)
    for run in runs:
        parts = [f"{100 * (part or 0):.1f} %" for part in (run.speedup.between, run.speedup.within)]
        table.add_row(run.run_id, "yes" * run.beside, ratio(run.speedup), *parts, "; ".join(run.busy))
    console = Console(width=200)
    console.print(table)
    bars = list(judged(runs))
    for bar in bars:
        console.print(f"{'met   ' if bar.met else 'MISSED'}  {bar.claim}: {bar.result}", markup=False)
    return 0 if all(bar.met for bar in bars) else 1


def measure(plan: Plan, beside: bool, root: Path) -> Measured:
    """Run the benchmark once, and read what the product says of it."""
    with neighbour() if beside else nullcontext(), Terminal() as terminal:
        run_id = run_benchmark(plan, terminal, root=root).run_id
    stored = load_run(run_id, root)
    (against,) = (s.against for s in compare_runs([stored]).systems if s.summary.system == "hybrid")
    assert against is not None
    speedup = against.speedups["end_to_end"]
    assert speedup is not None
    return Measured(run_id, beside, speedup, busy_reasons(stored.run) or ())


def judged(runs: Sequence[Measured]) -> Iterator[Bar]:
    """Set the runs against the bars."""
    quiet = [run for run in runs if not run.beside]
    mean = statistics.mean(run.speedup.value for run in quiet)
    held = [run for run in quiet if not run.speedup.excludes(mean)]
    claim = f"intervals of undisturbed runs that hold their mean, {mean:.2f}"
    yield Bar(claim, f"{len(held)} of {len(quiet)}", len(held) == len(quiet))
    noticed = [run for run in runs if run.beside and run.busy]
    beside = len(runs) - len(quiet)
    yield Bar("disturbed runs that are marked", f"{len(noticed)} of {beside}", len(noticed) == beside)
    wrongly = [run for run in quiet if run.busy]
    yield Bar("undisturbed runs that are marked", f"{len(wrongly)} of {len(quiet)}", not wrongly)


@contextmanager
def neighbour() -> Iterator[None]:
    """Burn a core and stream memory while the block runs."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with subprocess.Popen([sys.executable, "-c", NEIGHBOUR], env=os.environ | one_thread) as process:
        try:
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
