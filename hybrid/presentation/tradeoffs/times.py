"""Figures of times: the share of answers that came within a time, by system, and where the time goes."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from hybrid.format import capitalized, label, listed, milliseconds, milliseconds_interval, percent
from hybrid.presentation.charts import Drawing, Mark, faded
from hybrid.presentation.charts.axes import CLEAR, ends, flagged, framed, is_wide, log_axis, with_legend
from hybrid.presentation.charts.phase_bars import Bar, phase_bars
from hybrid.presentation.tradeoffs.results import LATENCIES, PERCENTS, Distribution
from hybrid.presentation.tradeoffs.selection import COLUMNS, FigureSelection, SelectedSystem
from hybrid.schema import PHASES
from hybrid.store.tables import Table

MARKED = (50, 90, 99)
DOUBTFUL = 0.35  # opacity of what n cannot carry
_COLUMNS = (
    COLUMNS
    | {"n": "independent measurements: examples, or batches", "answers": "values that percentiles are of"}
    | {f"p{number}_ms": f"percentile {number}, linear interpolation" for number in PERCENTS}
    | {"p50_ms_low": "lower end of the 95 % interval of p50", "p50_ms_high": "upper end of it"}
    | {"carried": "the percentiles that n can carry; others are guesses"}
)
_LARGEST = 2  # phases of a system that the sentence names
_PARTS = {f"{phase}_ms": f"mean time of phase {phase}; empty where there is none" for phase in PHASES}
_PHASE_COLUMNS = (
    COLUMNS | _PARTS | {"sum_ms": "of the phases: the mean end-to-end latency", "n": "examples, or batches"}
)


@dataclass(frozen=True)
class Percentile:
    """number: 50 and so on. hover: a line of plain text."""

    number: int
    value: float
    carried: bool
    hover: str


@dataclass(frozen=True)
class Steps:
    """values, shares: of the ECDF, ascending. carried_share: up to which it can be believed, 0 to 1."""

    mark: Mark
    values: tuple[float, ...]
    shares: tuple[float, ...]
    carried_share: float
    percentiles: tuple[Percentile, ...]


def spread_figure(selection: FigureSelection, latency: str) -> Drawing | None:
    """Draw it; None when nothing has this latency. latency: of LATENCIES."""
    spreads = [
        (selected, selected.times.latencies[latency])
        for selected in selection
        if latency in selected.times.latencies
    ]
    if not spreads:
        return None
    title, curves = LATENCIES[latency], [_steps(selected, spread) for selected, spread in spreads]
    figure = draw(curves, f"{capitalized(title)} (ms)", selection.differences.flag)
    rows = [
        (
            *selected.cells, spread.p50.n, spread.answers, *spread.percentiles, *ends(spread.p50)[1:],
            " ".join(f"p{number}" for number in spread.carried),
        )
        for selected, spread in spreads
    ]  # fmt: skip
    return Drawing(figure, _says(spreads, title, selection), Table(_COLUMNS, rows))


def draw(curves: Sequence[Steps], x_title: str, flag: str = "") -> go.Figure:
    """Draw curves: further to the left is faster. What n cannot carry is faded, its percentiles hollow."""
    figure = framed(go.Figure(), x_title, "Share of answers")
    for curve in curves:
        _draw_line(figure, curve)
    for curve in curves:
        _draw_percentiles(figure, curve)
    values = [end for curve in curves for end in (curve.values[0], curve.values[-1])]
    if min(values) > 0 and is_wide(values):
        figure.update_xaxes(**log_axis(min(values) / 1.1, max(values) * 1.1))
    else:
        figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(range=[0, 1.03], tickformat=".0%", tickvals=[0, 0.25, 0.5, 0.75, 0.9, 1])
    return flagged(with_legend(figure, len(curves)), flag)


def _draw_line(figure: go.Figure, curve: Steps) -> None:
    """Two parts, of which the second begins where the first one ends."""
    x, y = (curve.values[0], *curve.values), (0.0, *curve.shares)  # it rises from 0 at the fastest answer
    cut = sum(share <= curve.carried_share for share in y)
    color = curve.mark.color
    for number, (part, ink) in enumerate(
        ((slice(0, cut), color), (slice(max(0, cut - 1), None), faded(color, DOUBTFUL)))
    ):
        figure.add_scatter(
            x=x[part], y=y[part], mode="lines", name=label(curve.mark.name), legendgroup=curve.mark.name,
            showlegend=number == 0, line={"color": ink, "width": 2, "dash": curve.mark.dash, "shape": "hv"},
            hoverinfo="text", hovertext=[_hover(curve, *at) for at in zip(x[part], y[part], strict=True)],
        )  # fmt: skip


def _hover(curve: Steps, value: float, share: float) -> str:
    return f"{label(curve.mark.name)}<br>{percent(share)} within {milliseconds(value / 1000)}"


def _draw_percentiles(figure: go.Figure, curve: Steps) -> None:
    color, marks = curve.mark.color, curve.percentiles
    figure.add_scatter(
        x=[mark.value for mark in marks], y=[mark.number / 100 for mark in marks], mode="markers",
        marker={
            "color": [color if mark.carried else CLEAR for mark in marks], "size": 8,
            "symbol": curve.mark.symbol,
            "line": {"width": 1.5, "color": [color if mark.carried else faded(color, 0.6) for mark in marks]},
        },
        showlegend=False, legendgroup=curve.mark.name, hoverinfo="text",
        hovertext=[f"{label(curve.mark.name)}<br>{label(mark.hover, 200)}" for mark in marks],
    )  # fmt: skip


def _steps(selected: SelectedSystem, spread: Distribution) -> Steps:
    percentiles = tuple(_percentile(number, spread) for number in MARKED)
    return Steps(selected.mark, spread.values, spread.shares, spread.carried_share, percentiles)


def _percentile(number: int, spread: Distribution) -> Percentile:
    value, n = spread.percentile(number), spread.p50.n
    carried = number in spread.carried
    time = milliseconds_interval(spread.p50) if number == 50 else milliseconds(value / 1000)
    doubt = "" if carried else ", too few to carry it"
    return Percentile(number, value, carried, f"p{number}: {time}, n = {n}{doubt}")


def _says(spreads: list[tuple[SelectedSystem, Distribution]], title: str, selection: FigureSelection) -> str:
    parts = [
        f"{selected.mark.name} {milliseconds_interval(spread.p50)} and "
        f"{milliseconds(spread.percentile(90) / 1000)} (n = {spread.p50.n})"
        for selected, spread in spreads
        if selection.is_main(selected)
    ]
    fewest = min((spread for _, spread in spreads), key=lambda spread: spread.p50.n)
    lost = [f"p{number}" for number in MARKED if number not in fewest.carried]
    doubt = f" n = {fewest.p50.n} is too small for {listed(lost)}: faded, with hollow marks." if lost else ""
    return (
        f"Share of answers within a time, {title}; marks are p50, p90 and p99. "
        f"p50, with its 95 % interval, and p90: {'; '.join(parts)}.{doubt}{selection.remark}"
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
            parts.append(_bar_says(bar, n))
    says = (
        f"Mean time per {selection.unit} by phase; the phases sum to the mean end to end: {'; '.join(parts)}."
        f"{selection.remark}"
    )
    return Drawing(figure, says, Table(_PHASE_COLUMNS, rows))


def _bar_says(bar: Bar, n: int) -> str:
    largest = sorted(bar.phases.items(), key=lambda part: -part[1])[:_LARGEST]
    parts = " and ".join(f"{percent(ms / bar.total)} {phase}" for phase, ms in largest)
    return f"{bar.name} {milliseconds(bar.total / 1000)}, {parts} (n = {n})"
