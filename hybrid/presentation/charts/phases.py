"""Where the time of each system goes, as stacked bars of its phases."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from hybrid.format import label, milliseconds, printable
from hybrid.presentation.charts.frame import framed
from hybrid.presentation.charts.parts import blended, flagged
from hybrid.presentation.charts.systems import PHASE_OPACITY, color_of
from hybrid.schema import PHASES, Phase, System

BAR_PX, AROUND_PX = 40, 70
NAME = 20  # characters of a line of a name, of which a bar has room for three
SHORT = 30  # characters of a flag's line, beside the names
ROOM = 1.28  # of the longest bar, for its sum beside it


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
    bars: Sequence[Bar], unit: str, share: bool = False, flag: str = "", ground: str = "#ffffff"
) -> go.Figure:
    """The first bar on top, its sum beside it. unit: of the axis.

    share: bars of equal length, for systems of very different speed. ground: of
    the page, `#rrggbb`, on which a phase's name must be readable.
    """
    height = BAR_PX * len(bars) + AROUND_PX
    figure = framed(go.Figure(), "Share of the time (%)" if share else unit, "", height)
    rows = list(range(len(bars)))  # not names: two that are cut short may be the same
    for phase in PHASES:
        part = [bar.phases.get(phase, 0.0) for bar in bars]
        if any(part):
            figure.add_bar(
                x=[_length(one, bar, share) for one, bar in zip(part, bars, strict=True)], y=rows,
                orientation="h", name=phase, showlegend=False, text=[phase if one else "" for one in part],
                textposition="inside", insidetextanchor="middle", textangle=0, constraintext="inside",
                marker={"color": [_color(bar, phase, ground) for bar in bars], "line": _EDGE},
                hoverinfo="text",
                hovertext=[_hover(one, phase, bar) for one, bar in zip(part, bars, strict=True)],
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


_EDGE = {"width": 0.5, "color": "rgba(128,128,128,0.6)"}


def _name(bar: Bar) -> str:
    return "<br>".join(
        f"{label(line)} " for line in textwrap.wrap(printable(bar.name), NAME, break_on_hyphens=False)[:3]
    )


def _color(bar: Bar, phase: Phase, ground: str) -> str:
    return blended(color_of(bar.system), PHASE_OPACITY[phase], ground)


def _length(part: float, bar: Bar, share: bool) -> float:
    return 100 * part / bar.total if share and bar.total else part


def _hover(part: float, phase: Phase, bar: Bar) -> str:
    of = f", {100 * part / bar.total:.0f} % of {milliseconds(bar.total / 1000)}" if bar.total else ""
    return f"{label(bar.name)}<br>{phase}: {milliseconds(part / 1000)}{of}"
