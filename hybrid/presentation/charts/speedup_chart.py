"""Systems beside a baseline: how much faster, and at which quality; with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from hybrid.format import label, ratio
from hybrid.presentation.charts import Mark
from hybrid.presentation.charts.axes import Range, error_bar, framed, is_wide, log_axis

ROW_PX, AROUND_PX = 44, 84  # heights of a row of speedups() and of what is above and below them
LEGEND_PX, HEIGHT_PX = 22, 400  # of a line in the legend of quality_by_speed(), and of the figure without
AXIS = "Speed-up, end to end"
_MOST_TICKS = 6  # that fit a phone
_BASELINE: Range = (1.0, None, None)


@dataclass(frozen=True)
class Placed:
    """One system of one run. hover: plain text, for who points at it."""

    mark: Mark
    speedup: Range | None
    quality: Range | None
    hover: str


def speedups(systems: Sequence[Placed]) -> go.Figure:
    """Draw a row for each that has a speed-up, in their order, from the top: its interval beside 1."""
    figure, ranges = go.Figure(), []
    for system in systems:
        if system.speedup is None:
            continue
        ranges.append(system.speedup)
        figure.add_scatter(
            x=[system.speedup[0]], y=[label(system.mark.name).replace(", ", ",<br>")], **_marker(system),
            mode="markers+text", text=[ratio(system.speedup[0])], textposition="top center",
        )  # fmt: skip
    framed(figure, AXIS, "", AROUND_PX + ROW_PX * len(ranges))
    figure.update_layout(showlegend=False)
    room = [len(ranges) - 0.5, -0.85]  # from the top down, with room for the first row's number
    figure.update_yaxes(range=room, type="category", ticklabelstandoff=6)
    _ratio_axis(figure, ranges)
    return figure


def quality_by_speed(systems: Sequence[Placed], metric: str) -> go.Figure:
    """Draw quality by speed-up: up is better, right is faster; the baseline stands at 1.

    metric: name and unit of the quality.
    """
    figure, ranges = go.Figure(), []
    for system in systems:
        if system.quality is None:
            continue
        ranges.append(system.speedup or _BASELINE)
        figure.add_scatter(
            x=[ranges[-1][0]], y=[system.quality[0]], name=label(system.mark.name), mode="markers",
            **_marker(system), error_y=error_bar(system.quality, system.mark.color, thickness=2),
        )  # fmt: skip
    framed(figure, AXIS, metric, HEIGHT_PX + LEGEND_PX * len(ranges))
    # at the very bottom, one below the other: it then fits a phone, and never covers the axis
    below = {"yref": "container", "y": 0, "yanchor": "bottom", "orientation": "v"}
    figure.update_layout(showlegend=True, legend=below)
    _ratio_axis(figure, ranges)
    return figure


def _marker(system: Placed) -> dict[str, object]:
    mark = system.mark
    return {
        "marker": {"color": mark.color, "size": 11, "symbol": mark.symbol},
        "error_x": error_bar(system.speedup, mark.color, thickness=2),
        "hovertemplate": f"{label(mark.name)}<br>{label(system.hover, 200)}<extra></extra>",
    }


def _ratio_axis(figure: go.Figure, ranges: Sequence[Range]) -> None:
    """From the smallest to the largest ratio and 1, which has a line; logarithmic when they lie far apart."""
    values = [1.0, *(end for three in ranges for end in three if end and end > 0)]
    figure.add_vline(x=1, line={"color": "#7f7f7f", "width": 1, "dash": "dash"})
    if is_wide(values):
        figure.update_xaxes(**log_axis(min(values) / 1.5, max(values) * 1.5, "×", _MOST_TICKS))
    else:
        figure.update_xaxes(ticksuffix="×", rangemode="normal")
