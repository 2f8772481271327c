"""Where the time of one answer went, as one small stacked bar."""

from collections.abc import Mapping

import plotly.graph_objects as go

from hybrid.format import milliseconds
from hybrid.presentation.charts.systems import tint
from hybrid.schema import PHASES, Phase, System

BAR_PX, AXIS_PX, ROW_PX = 24, 26, 20  # heights inside a time bar's figure


def time_bar(phases: Mapping[Phase, float], system: System, longest_s: float) -> go.Figure:
    """Where the time of one answer went, as one horizontal stacked bar in milliseconds.

    phases: seconds per phase. longest_s: the end of the axis, in seconds; give
    the slowest system's total to make the bars of several systems comparable.
    """
    figure = go.Figure()
    present = [phase for phase in PHASES if phase in phases]
    for phase in present:
        figure.add_bar(
            x=[phases[phase] * 1000],
            y=[""],
            orientation="h",
            marker={"color": tint(system, phase), "line": {"width": 0}},
            hovertemplate=f"{phase} {milliseconds(phases[phase])}<extra></extra>",
        )
    rows = -(-len(PHASES) // 2)  # also when empty, so that the height never changes
    below = AXIS_PX + rows * ROW_PX + 6
    figure.update_layout(
        barmode="stack",
        bargap=0,
        height=BAR_PX + below,
        margin={"l": 0, "r": 0, "t": 0, "b": below},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis={"range": [0, longest_s * 1000], "ticksuffix": " ms", "nticks": 5, "visible": bool(present)},
        yaxis={"visible": False},
        showlegend=False,
        dragmode=False,
        annotations=[_key(phase, phases[phase], system, n) for n, phase in enumerate(present)],
    )
    figure.update_xaxes(fixedrange=True, zeroline=False)
    figure.update_yaxes(fixedrange=True)
    return figure


def time_bar_in_words(phases: Mapping[Phase, float], system: System) -> str:
    """The same bar for someone who cannot see it."""
    parts = ", ".join(f"{phase} {milliseconds(phases[phase])}" for phase in PHASES if phase in phases)
    return f"Where the time went, {system.label}: {parts or 'no answer yet'}."


def _key(phase: Phase, seconds: float, system: System, place: int) -> dict[str, object]:
    """One entry of the legend: Plotly's own cannot keep two columns on a narrow screen."""
    row, column = divmod(place, 2)
    square = f'<span style="color:{tint(system, phase)};font-size:16px">■</span>'
    return {
        "text": f"{square} {phase} {milliseconds(seconds)}",
        "font": {"size": 11},
        "showarrow": False,
        "align": "left",
        "xref": "paper",
        "yref": "paper",
        "x": column / 2,
        "y": 0,
        "xanchor": "left",
        "yanchor": "top",
        "yshift": -AXIS_PX - row * ROW_PX,
    }
