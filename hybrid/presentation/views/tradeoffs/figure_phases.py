"""The figure of where the time goes."""

from hybrid.compare.verdict import milliseconds
from hybrid.presentation.charts.phases import Bar, phase_bars
from hybrid.presentation.views.tradeoffs.chosen import COLUMNS, Chosen, Drawn
from hybrid.schema import PHASES
from hybrid.store.tables import Table

_LARGEST = 2  # phases of a system that the sentence names
_PARTS = {f"{phase}_ms": f"mean time of phase {phase}; empty where there is none" for phase in PHASES}
_COLUMNS = (
    COLUMNS | _PARTS | {"sum_ms": "of the phases: the mean end-to-end latency", "n": "examples, or batches"}
)


def phases_figure(chosen: Chosen, share: bool = False, ground: str = "#ffffff") -> Drawn | None:
    """None when nothing was timed. share: of the system's own time. ground: of the page, see phase_bars()."""
    shown = [one for one in chosen if one.times.phases]
    if not shown:
        return None
    bars = [Bar(one.mark.name, one.system, one.times.phases) for one in shown]
    made = phase_bars(bars, f"Mean time per {chosen.unit} (ms)", share, chosen.between.flag, ground)
    rows = [
        (
            *one.cells,
            *(one.times.phases.get(phase) for phase in PHASES),
            bar.total,
            one.times.latencies["total"].p50.n,
        )
        for one, bar in zip(shown, bars, strict=True)
    ]
    main = {(one.run_id, one.system) for one in chosen.main}
    parts = [
        _says(bar, one.times.latencies["total"].p50.n)
        for one, bar in zip(shown, bars, strict=True)
        if (one.run_id, one.system) in main
    ]
    says = (
        f"Mean time per {chosen.unit} by phase; the phases sum to the mean end to end: {'; '.join(parts)}."
        f"{chosen.remark}"
    )
    return Drawn(made, says, Table(_COLUMNS, rows))


def _says(bar: Bar, n: int) -> str:
    largest = sorted(bar.phases.items(), key=lambda part: -part[1])[:_LARGEST]
    parts = " and ".join(f"{100 * ms / bar.total:.0f} % {phase}" for phase, ms in largest)
    return f"{bar.name} {milliseconds(bar.total)} ms, {parts} (n = {n})"
