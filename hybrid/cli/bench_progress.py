"""How `hybrid bench` shows a stream of records, on stderr.

Drawn between measurements only, and seldom: a thread that draws, or a terminal
that is kept busy, would be part of what is measured.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from hybrid.benchmark.progress import Progress

DRAW_EVERY_S = 0.5
PLAIN_LINE_EVERY_S = 10.0


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
