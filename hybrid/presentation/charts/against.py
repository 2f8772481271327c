"""Systems beside a baseline: how much faster, and at which quality; with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from hybrid.format import label, ratio
from hybrid.presentation.charts.frame import framed
from hybrid.presentation.charts.systems import ENGINE_SYMBOLS, color_of
from hybrid.schema import System

ROW_PX, AROUND_PX = 44, 84  # heights of a row of speedups() and of what is above and below them
LEGEND_PX, HEIGHT_PX = 22, 400  # of a line in the legend of quality_by_speed(), and of the figure without
_AXIS = "Speed-up, end to end"
_WIDE = 8  # largest over smallest ratio from which on an axis is logarithmic
_STEPS: tuple[tuple[int, ...], ...] = ((1, 2, 5), (1, 3), (1,))  # of a decade, the first that fits a phone
_MOST_TICKS = 6


@dataclass(frozen=True)
class Span:
    """A value and its 95 % interval; None where it carries none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Mark:
    """One system of one run. name: what to call it, unique in a figure; it may come from elsewhere.

    engine: which engine, from 0, for its symbol. said: for who points at it.
    """

    name: str
    system: System
    engine: int
    speedup: Span | None
    quality: Span | None
    said: str


def speedups(marks: Sequence[Mark]) -> go.Figure:
    """A row for each that has a speed-up, in their order, from the top: its value and interval beside 1."""
    there = [mark for mark in marks if mark.speedup]
    figure = go.Figure()
    for mark in there:
        figure.add_scatter(
            x=[_of(mark.speedup).value], y=[label(mark.name).replace(", ", ",<br>")], **_drawn(mark),
            mode="markers+text", text=[ratio(_of(mark.speedup).value)], textposition="top center",
        )  # fmt: skip
    framed(figure, _AXIS, "", AROUND_PX + ROW_PX * len(there))
    figure.update_layout(showlegend=False)
    room = [len(there) - 0.5, -0.85]  # from the top down, with room for the first row's number
    figure.update_yaxes(range=room, type="category", ticklabelstandoff=6)
    _ratio_axis(figure, [_of(mark.speedup) for mark in there])
    return figure


def quality_by_speed(marks: Sequence[Mark], metric: str) -> go.Figure:
    """Up is better, right is faster; the baseline stands at 1. metric: name and unit of the quality."""
    there = [mark for mark in marks if mark.quality]
    figure = go.Figure()
    for mark in there:
        speed = mark.speedup or Span(1.0, None, None)
        figure.add_scatter(
            x=[speed.value], y=[_of(mark.quality).value], name=label(mark.name), mode="markers",
            **_drawn(mark), error_y=_error(_of(mark.quality), color_of(mark.system)),
        )  # fmt: skip
    framed(figure, _AXIS, metric, HEIGHT_PX + LEGEND_PX * len(there))
    # at the very bottom, one below the other: it then fits a phone, and never covers the axis
    below = {"yref": "container", "y": 0, "yanchor": "bottom", "orientation": "v"}
    figure.update_layout(showlegend=True, legend=below)
    _ratio_axis(figure, [mark.speedup or Span(1.0, None, None) for mark in there])
    return figure


def _drawn(mark: Mark) -> dict[str, object]:
    color = color_of(mark.system)
    return {
        "marker": {"color": color, "size": 11, "symbol": ENGINE_SYMBOLS[mark.engine % len(ENGINE_SYMBOLS)]},
        "error_x": _error(mark.speedup, color),
        "hovertemplate": f"{label(mark.name)}<br>{label(mark.said, 200)}<extra></extra>",
    }


def _error(span: Span | None, color: str) -> dict[str, object] | None:
    if span is None or span.low is None or span.high is None:
        return None
    below, above = max(span.value - span.low, 0.0), max(span.high - span.value, 0.0)
    drawn = {"color": color, "thickness": 2, "width": 5}
    return {"type": "data", "array": [above], "arrayminus": [below]} | drawn


def _ratio_axis(figure: go.Figure, spans: Sequence[Span]) -> None:
    """From the smallest to the largest ratio and 1, which has a line; logarithmic when they lie far apart."""
    ends = [end for span in spans for end in (span.value, span.low, span.high) if end and end > 0] + [1.0]
    low, high = min(ends), max(ends)
    figure.add_vline(x=1, line={"color": "#7f7f7f", "width": 1, "dash": "dash"})
    if high / low < _WIDE:
        figure.update_xaxes(ticksuffix="×", rangemode="normal")
        return
    for steps in _STEPS:
        ticks = [m * 10.0**e for e in range(-6, 7) for m in steps if low / 1.5 <= m * 10.0**e <= high * 1.5]
        if len(ticks) <= _MOST_TICKS:
            break
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}×" for tick in ticks])


def _of(span: Span | None) -> Span:
    assert span is not None  # those without are left out above
    return span
