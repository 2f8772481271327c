"""Speed-up over the LLM by length: a line with its band for each system, and where it meets 1x."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import plotly.graph_objects as go

from hybrid.format import label
from hybrid.presentation.charts.frame import framed
from hybrid.presentation.charts.parts import GRAY, Mark, Range, error, flagged, is_wide, log_axis, with_legend
from hybrid.presentation.charts.systems import faded

BAND = 0.16  # opacity


@dataclass(frozen=True)
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


def speedups_by_length(curves: Sequence[Curve], x_title: str, flag: str = "") -> go.Figure:
    """Above the line at 1x a system is faster than the LLM. flag: our own words, or nothing."""
    figure = framed(go.Figure(), x_title, "LLM's time / system's time")
    banded = [curve for curve in curves if curve.banded]
    for curve in banded:
        _band(figure, curve)
    for curve in curves:
        _line(figure, curve)
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


def _line(figure: go.Figure, curve: Curve) -> None:
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
        x=[value], y=[1], error_x=error((value, None if low is None else max(0.0, low), high)),
        mode="markers", marker={"color": mark.color, "symbol": "line-ns-open", "size": 14}, showlegend=False,
        legendgroup=mark.name, hoverinfo="text",
        hovertext=f"{label(mark.name)}<br>break-even at about {value:,.0f} tokens",
    )  # fmt: skip


def _band(figure: go.Figure, curve: Curve) -> None:
    """There and back along both ends of the interval."""
    known = [(x, y[1], y[2]) for x, y in zip(curve.x, curve.y, strict=True) if y[1] is not None]
    if len(known) < 2:
        return
    x, low, high = zip(*known, strict=True)
    figure.add_scatter(
        x=[*x, *x[::-1]], y=[*high, *low[::-1]], fill="toself", fillcolor=faded(curve.mark.color, BAND),
        line={"width": 0}, mode="lines", showlegend=False, legendgroup=curve.mark.name, hoverinfo="skip",
    )  # fmt: skip
