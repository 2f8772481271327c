"""The figure of where the time goes."""

from hybrid.format import milliseconds, percent
from hybrid.presentation.charts import Drawing
from hybrid.presentation.charts.phase_bars import Bar, phase_bars
from hybrid.presentation.tradeoffs.selection import COLUMNS, FigureSelection
from hybrid.schema import PHASES
from hybrid.store.tables import Table

_LARGEST = 2  # phases of a system that the sentence names
_PARTS = {f"{phase}_ms": f"mean time of phase {phase}; empty where there is none" for phase in PHASES}
_COLUMNS = (
    COLUMNS | _PARTS | {"sum_ms": "of the phases: the mean end-to-end latency", "n": "examples, or batches"}
)


def phases_figure(selection: FigureSelection, share: bool = False, ground: str = "#ffffff") -> Drawing | None:
    """Draw it; None when nothing was timed.

    share: of the system's own time. ground: of the page, see phase_bars().
    """
    timed = [selected for selected in selection if selected.times.phases]
    if not timed:
        return None
    bars = [Bar(selected.mark.name, selected.system, selected.times.phases) for selected in timed]
    unit = f"Mean time per {selection.unit} (ms)"
    figure = phase_bars(bars, unit, share, selection.differences.flag, ground)
    rows, parts = [], []
    for selected, bar in zip(timed, bars, strict=True):
        n = selected.times.latencies["total"].p50.n
        rows.append((*selected.cells, *(selected.times.phases.get(phase) for phase in PHASES), bar.total, n))
        if selection.is_main(selected):
            parts.append(_says(bar, n))
    says = (
        f"Mean time per {selection.unit} by phase; the phases sum to the mean end to end: {'; '.join(parts)}."
        f"{selection.remark}"
    )
    return Drawing(figure, says, Table(_COLUMNS, rows))


def _says(bar: Bar, n: int) -> str:
    largest = sorted(bar.phases.items(), key=lambda part: -part[1])[:_LARGEST]
    parts = " and ".join(f"{percent(ms / bar.total)} {phase}" for phase, ms in largest)
    return f"{bar.name} {milliseconds(bar.total / 1000)}, {parts} (n = {n})"
