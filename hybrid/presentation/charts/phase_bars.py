"""Where the time went, as stacked bars of phases: of one answer, or of several systems."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from hybrid.format import label, milliseconds, percent, printable
from hybrid.presentation.charts import PHASE_OPACITY, blended, color_of, tint
from hybrid.presentation.charts.axes import CLEAR, flagged, framed
from hybrid.schema import PHASES, Phase, System

ONE_BAR_PX, AXIS_PX, KEY_PX = 24, 26, 20  # heights inside the figure of time_bar()
BAR_PX, AROUND_PX = 40, 70
NAME = 20  # characters of a line of a name, of which a bar has room for three
SHORT = 30  # characters of a flag's line, beside the names
ROOM = 1.28  # of the longest bar, for its sum beside it
# Lines in black or white over the fill: where fills differ, Plotly lets no other colour be chosen.
HATCH = {"shape": "/", "size": 8, "solidity": 0.22, "fillmode": "overlay", "fgopacity": 0.3}
_EDGE = {"width": 0.5, "color": "rgba(128,128,128,0.6)"}


@dataclass(frozen=True)
class Bar:
    """One system. name: plain text. phases: milliseconds that sum to its time."""

    name: str
    system: System
    phases: Mapping[Phase, float]

    @property
    def total(self) -> float:
        return sum(self.phases.values())


def phase_bars(
    bars: Sequence[Bar],
    unit: str,
    share: bool = False,
    flag: str = "",
    ground: str = "#ffffff",
    hatched: bool = False,
) -> go.Figure:
    """Draw a bar for each system: the first on top, its sum beside it. unit: of the axis.

    share: bars of equal length, for systems of very different speed. ground: of
    the page, `#rrggbb`, on which a phase's name must be readable. hatched: as what is predicted.
    """
    height = BAR_PX * len(bars) + AROUND_PX
    figure = framed(go.Figure(), "Share of the time (%)" if share else unit, "", height)
    rows = list(range(len(bars)))  # not names: two that are cut short may be the same
    for phase in PHASES:
        part = [bar.phases.get(phase, 0.0) for bar in bars]
        if any(part):
            figure.add_bar(
                x=[_length(ms, bar, share) for ms, bar in zip(part, bars, strict=True)], y=rows,
                orientation="h", name=phase, showlegend=False, text=[phase if ms else "" for ms in part],
                textposition="inside", insidetextanchor="middle", textangle=0, constraintext="inside",
                marker={
                    "color": [_color(bar, phase, ground) for bar in bars], "line": _EDGE,
                    "pattern": HATCH if hatched else {"shape": ""},
                },
                hoverinfo="text",
                hovertext=[_hover(ms, phase, bar) for ms, bar in zip(part, bars, strict=True)],
            )  # fmt: skip
    longest = 100.0 if share else max((bar.total for bar in bars), default=1.0)
    for row, bar in enumerate(bars):
        figure.add_annotation(
            x=_length(bar.total, bar, share), y=row, text=milliseconds(bar.total / 1000), showarrow=False,
            xanchor="left", xshift=4, font={"size": 12},
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.25, uniformtext={"minsize": 10, "mode": "hide"})
    figure.update_xaxes(range=[0, longest * ROOM])
    ends = [len(bars) - 0.5, -0.5]
    figure.update_yaxes(
        range=ends, tickvals=rows, ticktext=[_name(bar) for bar in bars], tickfont={"size": 11}
    )
    return flagged(figure, flag, SHORT)


def time_bar(phases: Mapping[Phase, float], system: System, longest_s: float) -> go.Figure:
    """Draw where the time of one answer went, as one horizontal stacked bar in milliseconds.

    phases: seconds per phase. longest_s: the end of the axis, in seconds; give
    the slowest system's total to make the bars of several systems comparable.
    """
    figure = go.Figure()
    present = [phase for phase in PHASES if phase in phases]
    for phase in present:
        figure.add_bar(
            x=[phases[phase] * 1000], y=[""], orientation="h",
            marker={"color": tint(system, phase), "line": {"width": 0}},
            hovertemplate=f"{phase} {milliseconds(phases[phase])}<extra></extra>",
        )  # fmt: skip
    rows = -(-len(PHASES) // 2)  # also when empty, so that the height never changes
    below = AXIS_PX + rows * KEY_PX + 6
    figure.update_layout(
        barmode="stack", bargap=0, height=ONE_BAR_PX + below, margin={"l": 0, "r": 0, "t": 0, "b": below},
        paper_bgcolor=CLEAR, plot_bgcolor=CLEAR,
        xaxis={"range": [0, longest_s * 1000], "ticksuffix": " ms", "nticks": 5, "visible": bool(present)},
        yaxis={"visible": False}, showlegend=False, dragmode=False,
        annotations=[_key(phase, phases[phase], system, n) for n, phase in enumerate(present)],
    )  # fmt: skip
    figure.update_xaxes(fixedrange=True, zeroline=False)
    figure.update_yaxes(fixedrange=True)
    return figure


def time_bar_in_words(phases: Mapping[Phase, float], system: System) -> str:
    """Say the same for someone who cannot see the bar."""
    parts = ", ".join(f"{phase} {milliseconds(phases[phase])}" for phase in PHASES if phase in phases)
    return f"Where the time went, {system.label}: {parts or 'no answer yet'}."


def _key(phase: Phase, seconds: float, system: System, place: int) -> dict[str, object]:
    """One entry of the legend: Plotly's own cannot keep two columns on a narrow screen."""
    row, column = divmod(place, 2)
    square = f'<span style="color:{tint(system, phase)};font-size:16px">■</span>'
    return {
        "text": f"{square} {phase} {milliseconds(seconds)}", "font": {"size": 11}, "showarrow": False,
        "align": "left", "xref": "paper", "yref": "paper", "x": column / 2, "y": 0, "xanchor": "left",
        "yanchor": "top", "yshift": -AXIS_PX - row * KEY_PX,
    }  # fmt: skip


def _name(bar: Bar) -> str:
    return "<br>".join(
        f"{label(line)} " for line in textwrap.wrap(printable(bar.name), NAME, break_on_hyphens=False)[:3]
    )


def _color(bar: Bar, phase: Phase, ground: str) -> str:
    return blended(color_of(bar.system), PHASE_OPACITY[phase], ground)


def _length(part: float, bar: Bar, share: bool) -> float:
    return 100 * part / bar.total if share and bar.total else part


def _hover(part: float, phase: Phase, bar: Bar) -> str:
    of = f", {percent(part / bar.total)} of {milliseconds(bar.total / 1000)}" if bar.total else ""
    return f"{label(bar.name)}<br>{phase}: {milliseconds(part / 1000)}{of}"
