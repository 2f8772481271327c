"""How `hybrid bench` shows a stream of records, on stderr.

Drawn between measurements only, and seldom: a thread that draws, or a terminal
that is kept busy, would be part of what is measured.
"""

import statistics
import time
from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import click

from hybrid.schema import Plan, Record, System

BASELINE: System = "llm"
DRAW_EVERY_S = 0.5
PLAIN_LINE_EVERY_S = 10.0


class Progress:
    """How far a run is, and how fast its systems have been so far.

    stored: records that a resumed run has already; they count, but say nothing of its pace.
    """

    def __init__(self, plan: Plan, planned: int, stored: Iterable[Record] = ()) -> None:
        self.planned = planned
        self.done = 0
        self._systems = [system for system in plan.systems if system != BASELINE]
        self._totals_s: dict[tuple[int, int, System], float] = {}  # of batches, by repeat, batch, system
        self._ratios: dict[System, list[float]] = {system: [] for system in self._systems}  # sorted
        for record in stored:
            self._count([record])
        self._first: tuple[float, int] | None = None  # when the first turn ended, and what was done then

    def add(self, records: Sequence[Record]) -> None:
        """Count the records of a turn that has just been measured."""
        self._count(records)
        if self._first is None:
            self._first = time.monotonic(), self.done

    def _count(self, records: Sequence[Record]) -> None:
        self.done += len(records)
        for record in records[:1]:  # the rows of a batch share its time
            batch = record.repeat, record.batch
            self._totals_s[*batch, record.system] = record.generation.timing.total_s
            # A pair is complete with the later of its two turns.
            for system in self._systems if record.system == BASELINE else [record.system]:
                own, base = self._totals_s.get((*batch, system)), self._totals_s.get((*batch, BASELINE))
                if own and base:
                    insort(self._ratios[system], base / own)

    @property
    def speedups(self) -> str:
        """`hybrid 2.9x, slm 3.1x`: medians of the paired end-to-end ratios to the LLM; empty without any."""
        medians = {system: statistics.median(ratios) for system, ratios in self._ratios.items() if ratios}
        return ", ".join(f"{system} {ratio:.1f}x" for system, ratio in sorted(medians.items()))

    @property
    def eta(self) -> str:
        """`ETA 0:01:02` at the pace since the first turn; empty before there is one, and at the end."""
        if self._first is None or self.done in (self._first[1], self.planned):
            return ""
        first_s, first = self._first
        left_s = (time.monotonic() - first_s) / (self.done - first) * (self.planned - self.done)
        return f"ETA {timedelta(seconds=round(left_s))}"


@contextmanager
def drawing(suite: str, progress: Progress) -> Iterator[Callable[[], None]]:
    """Draw `progress` when the function that is given is called: a bar on a terminal, else plain lines."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Seldom(
            progress, PLAIN_LINE_EVERY_S, lambda: click.echo(f"{suite}  {_line(progress)}", err=True)
        )
        return
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[line]}", markup=False),
    )
    with Bar(*columns, console=console, auto_refresh=False, expand=True) as bar:
        task = bar.add_task(suite, total=progress.planned, completed=progress.done, line="warming up")
        bar.refresh()

        def draw() -> None:
            bar.update(task, completed=progress.done, line=_line(progress), refresh=True)

        yield _Seldom(progress, DRAW_EVERY_S, draw)


class _Seldom:
    """Calls `draw` at most once in `every_s`, and for the last record."""

    def __init__(self, progress: Progress, every_s: float, draw: Callable[[], None]) -> None:
        self._progress, self._every_s, self._draw = progress, every_s, draw
        self._drawn_s = float("-inf")

    def __call__(self) -> None:
        if time.monotonic() - self._drawn_s >= self._every_s or self._progress.done == self._progress.planned:
            self._draw()
            self._drawn_s = time.monotonic()


def _line(progress: Progress) -> str:
    speedups = progress.speedups and f"speed-up {progress.speedups}"
    return "  ".join(filter(None, (f"{progress.done}/{progress.planned}", speedups, progress.eta)))
