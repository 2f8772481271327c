"""How latencies are spread: for each system, the share of answers that came within a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from hybrid.format import label
from hybrid.presentation.charts.frame import framed
from hybrid.presentation.charts.parts import Mark, flagged, is_wide, log_axis, with_legend
from hybrid.presentation.charts.systems import faded

DOUBTFUL = 0.35  # opacity of what n cannot carry


@dataclass(frozen=True)
class Percentile:
    """percent: 50 and so on. hover: a line of plain text."""

    percent: int
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


def ecdf(curves: Sequence[Steps], x_title: str, flag: str = "") -> go.Figure:
    """Further to the left is faster. What n cannot carry is faded, its percentiles are hollow."""
    figure = framed(go.Figure(), x_title, "Share of answers")
    for curve in curves:
        _line(figure, curve)
    for curve in curves:
        _percentiles(figure, curve)
    values = [end for curve in curves for end in (curve.values[0], curve.values[-1])]
    if min(values) > 0 and is_wide(values):
        figure.update_xaxes(**log_axis(min(values) / 1.1, max(values) * 1.1))
    else:
        figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(range=[0, 1.03], tickformat=".0%", tickvals=[0, 0.25, 0.5, 0.75, 0.9, 1])
    return flagged(with_legend(figure, len(curves)), flag)


def _line(figure: go.Figure, curve: Steps) -> None:
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
    return f"{label(curve.mark.name)}<br>{share:.0%} within {value:,.4g} ms"


def _percentiles(figure: go.Figure, curve: Steps) -> None:
    color = curve.mark.color
    found = curve.percentiles
    figure.add_scatter(
        x=[one.value for one in found], y=[one.percent / 100 for one in found], mode="markers",
        marker={
            "color": [color if one.carried else "rgba(0,0,0,0)" for one in found], "size": 8,
            "symbol": curve.mark.symbol,
            "line": {"width": 1.5, "color": [color if one.carried else faded(color, 0.6) for one in found]},
        },
        showlegend=False, legendgroup=curve.mark.name, hoverinfo="text",
        hovertext=[f"{label(curve.mark.name)}<br>{label(one.hover, 200)}" for one in found],
    )  # fmt: skip
