"""Plotly figures from plain data, and the one fixed colour of each system.

Figures have transparent backgrounds and no colours of their own besides the
systems', so that they read the same on a light and on a dark page.
"""

from collections.abc import Mapping

import plotly.graph_objects as go

from hybrid.schema import PHASES, Phase, System

# Okabe and Ito's palette, safe for colour-blind readers (https://jfly.uni-koeln.de/color/):
# blue, vermillion and bluish green, the three that also stand out on white and on black.
SYSTEM_COLORS: Mapping[System, str] = {
    "llm": "#0072b2",
    "slm": "#d55e00",
    "hybrid": "#009e73",
    "lossless": "#cc79a7",
    "lossless-slm": "#e69f00",
    "lossless-lookup": "#56b4e9",
}

SYSTEM_NAMES: Mapping[System, str] = {
    "llm": "LLM alone",
    "slm": "SLM alone",
    "hybrid": "Hybrid",
    "lossless": "Lossless: hybrid drafts, LLM verifies",
    "lossless-slm": "Lossless: SLM drafts, LLM verifies",
    "lossless-lookup": "Lossless: prompt lookup, LLM verifies",
}

# Decoding carries the colour itself: it is what the hybrid makes short.
PHASE_OPACITY: Mapping[Phase, float] = {
    "tokenize": 0.35,
    "encode": 0.5,
    "project": 0.35,
    "prefill": 0.75,
    "draft": 0.6,
    "verify": 1.0,
    "decode": 1.0,
    "detokenize": 0.35,
}

BAR_PX, AXIS_PX, ROW_PX = 24, 26, 20  # heights inside a time bar's figure


def milliseconds(seconds: float | None) -> str:
    """A duration as people read it: `1,240 ms`, `41 ms`, `5.2 ms`, `0.31 ms`, a dash for None."""
    if seconds is None:
        return "–"
    value = seconds * 1000
    digits = 0 if value >= 9.95 else 1 if value >= 0.995 else 2
    return f"{value:,.{digits}f} ms"


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
            marker={"color": _tint(system, phase), "line": {"width": 0}},
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
    return f"Where the time went, {SYSTEM_NAMES[system]}: {parts or 'no answer yet'}."


def _key(phase: Phase, seconds: float, system: System, place: int) -> dict[str, object]:
    """One entry of the legend: Plotly's own cannot keep two columns on a narrow screen."""
    row, column = divmod(place, 2)
    square = f'<span style="color:{_tint(system, phase)};font-size:16px">■</span>'
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


def _tint(system: System, phase: Phase) -> str:
    color = SYSTEM_COLORS[system]
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{PHASE_OPACITY[phase]})"
