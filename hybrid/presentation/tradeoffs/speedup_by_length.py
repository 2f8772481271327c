"""The figure of speed-up over the LLM by length, with the break-even lengths in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import plotly.graph_objects as go

from hybrid.format import capitalized, label, listed, ratio
from hybrid.presentation.charts import GRAY, Drawing, Mark, faded
from hybrid.presentation.charts.axes import (
    Range,
    ends,
    error_bar,
    flagged,
    framed,
    is_wide,
    log_axis,
    with_legend,
)
from hybrid.presentation.tradeoffs.lengths import LEAST, Bin, ByLength, Length, MeasuredBreakEven
from hybrid.presentation.tradeoffs.selection import COLUMNS, FigureSelection, SelectedSystem
from hybrid.store.tables import Cell, Table

WORDS: Mapping[Length, str] = {"input": "length of the prompt", "output": "length of the LLM's answer"}
BAND = 0.16  # opacity
MOST_BANDS = 4  # more of them hide each other; then those of the plan's own engine have one
MOST_NAMES = 5  # of systems of which the same is true
_COLUMNS = COLUMNS | {
    "tokens_from": "shortest length in the bin",
    "tokens_to": "longest length in the bin",
    "tokens_median": "median length in the bin",
    "n": "examples in the bin",
    "speedup": "LLM's time over the system's, median of paired ratios; above 1 is faster",
    "speedup_low": "lower end of its 95 % interval",
    "speedup_high": "upper end of it",
    "break_even": "of the system, in words",
    "break_even_tokens": "where a line fitted to paired differences of time over length crosses 0",
    "break_even_tokens_low": "lower end of its 95 % bootstrap interval",
    "break_even_tokens_high": "upper end of it",
    "break_even_n": "examples behind it",
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """x: tokens. y: ratios with intervals. hover: a line of plain text for each. at: break-even tokens.

    banded: whether the intervals are drawn, which for many curves hide each other.
    """

    mark: Mark
    x: tuple[float, ...]
    y: tuple[Range, ...]
    hover: tuple[str, ...]
    at: Range | None = None
    banded: bool = True


def lengths_figure(selection: FigureSelection, kind: Length) -> Drawing | None:
    """Draw it; None when no run has a bin. Each run is set against its own LLM."""
    known = [
        (selected, selected.times.lengths[kind]) for selected in selection if kind in selected.times.lengths
    ]
    drawn = [(selected, lengths) for selected, lengths in known if lengths.bins]
    if not drawn:
        return None
    own = [selected for selected, _ in drawn if selected.system.engine is None]
    banded = [selected for selected, _ in drawn] if len(drawn) <= MOST_BANDS else own[:MOST_BANDS]
    curves = [_curve(selected, lengths, selected in banded) for selected, lengths in drawn]
    kinds = listed(selection.differences.kinds)
    flag = f"These runs differ in {kinds}: each is set against its own LLM" if kinds else ""
    figure = draw(curves, f"{capitalized(WORDS[kind])} (tokens)", flag)
    rows = [
        (*selected.cells, *_cells(part), *_even(lengths.break_even))
        for selected, lengths in drawn
        for part in lengths.bins
    ]
    return Drawing(figure, _says(drawn, kind), Table(_COLUMNS, rows))


def draw(curves: Sequence[Curve], x_title: str, flag: str = "") -> go.Figure:
    """Draw curves; above the line at 1× a system is faster. flag: our own words, or nothing."""
    figure = framed(go.Figure(), x_title, "LLM's time / system's time")
    banded = [curve for curve in curves if curve.banded]
    for curve in banded:
        _draw_band(figure, curve)
    for curve in curves:
        _draw_line(figure, curve)
    figure.add_hline(y=1, line={"color": GRAY, "width": 1.5, "dash": "dot"})
    figure.add_annotation(
        text="as fast as the LLM", x=1, xref="paper", y=1, yref="y", xanchor="right", yanchor="bottom",
        showarrow=False, font={"size": 11},
    )  # fmt: skip
    bands = chain.from_iterable(y for curve in banded for y in curve.y)
    values = [end for end in (1.0, *(y[0] for c in curves for y in c.y), *bands) if end is not None]
    if is_wide(values):
        figure.update_yaxes(**log_axis(min(values) / 1.2, max(values) * 1.2, "×"))
        figure.layout.annotations[0].y = 0  # of a logarithmic axis: its exponent
    else:
        figure.update_yaxes(range=[0, max(values) * 1.08], ticksuffix="×")
    return flagged(with_legend(figure, len(curves)), flag)


def _draw_line(figure: go.Figure, curve: Curve) -> None:
    mark = curve.mark
    figure.add_scatter(
        x=curve.x, y=[y[0] for y in curve.y], mode="lines+markers", name=label(mark.name),
        legendgroup=mark.name, line={"color": mark.color, "width": 2, "dash": mark.dash},
        marker={"color": mark.color, "symbol": mark.symbol, "size": 7}, hoverinfo="text",
        hovertext=[f"{label(mark.name)}<br>{label(line, 200)}" for line in curve.hover],
    )  # fmt: skip
    if curve.at is None:
        return
    value, low, high = curve.at
    figure.add_scatter(
        x=[value], y=[1], error_x=error_bar((value, None if low is None else max(0.0, low), high)),
        mode="markers", marker={"color": mark.color, "symbol": "line-ns-open", "size": 14}, showlegend=False,
        legendgroup=mark.name, hoverinfo="text",
        hovertext=f"{label(mark.name)}<br>break-even at about {value:,.0f} tokens",
    )  # fmt: skip


def _draw_band(figure: go.Figure, curve: Curve) -> None:
    """There and back along both ends of the interval."""
    known = [(x, y[1], y[2]) for x, y in zip(curve.x, curve.y, strict=True) if y[1] is not None]
    if len(known) < 2:
        return
    x, low, high = zip(*known, strict=True)
    figure.add_scatter(
        x=[*x, *x[::-1]], y=[*high, *low[::-1]], fill="toself", fillcolor=faded(curve.mark.color, BAND),
        line={"width": 0}, mode="lines", showlegend=False, legendgroup=curve.mark.name, hoverinfo="skip",
    )  # fmt: skip


def _curve(selected: SelectedSystem, lengths: ByLength, banded: bool) -> Curve:
    even = lengths.break_even
    return Curve(
        mark=selected.mark,
        x=tuple(part.middle for part in lengths.bins),
        y=tuple(ends(part.ratio) for part in lengths.bins),
        hover=tuple(f"{_span(part)}: {ratio(part.ratio)}, n = {part.ratio.n}" for part in lengths.bins),
        at=ends(even.at) if even.at and even.kind in ("from", "up to") else None,
        banded=banded,
    )


def _span(part: Bin) -> str:
    if part.shortest == part.longest:
        return f"{part.longest:,} tokens"
    return f"{part.shortest:,} to {part.longest:,} tokens"


def _cells(part: Bin) -> tuple[Cell, ...]:
    return part.shortest, part.longest, part.middle, part.ratio.n, *ends(part.ratio)


def _even(fitted: MeasuredBreakEven) -> tuple[Cell, ...]:
    at = ends(fitted.at) if fitted.at else (None, None, None)
    return fitted.sentence, *at, fitted.n


def _says(drawn: list[tuple[SelectedSystem, ByLength]], kind: Length) -> str:
    sizes = [part.ratio.n for _, lengths in drawn for part in lengths.bins]
    least, most = min(sizes), max(sizes)
    many = f"{least}" if least == most else f"{least} to {most}"
    return (
        f"Speed-up over the LLM by {WORDS[kind]}: each point is the median of {many} paired ratios, LLM's "
        f"time over the system's, on examples of similar length, with its 95 % interval. "
        f"Break-even, from a straight line fitted by least squares to the paired differences of time over "
        f"length ({LEAST} examples or more, bootstrap interval): {_break_evens(drawn)}."
    )


def _break_evens(drawn: list[tuple[SelectedSystem, ByLength]]) -> str:
    """Systems of which the same is true share a part; those that break even have one each."""
    names_by_sentence: dict[str, list[str]] = {}
    for selected, lengths in drawn:
        names_by_sentence.setdefault(lengths.break_even.short, []).append(selected.mark.name)
    return "; ".join(f"{listed(names, MOST_NAMES)}: {what}" for what, names in names_by_sentence.items())
