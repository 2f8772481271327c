"""What figures of several systems share: how one is told from another, wide axes, a flag on the figure."""

import math
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

import plotly.graph_objects as go

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
GRAY = "#808080"  # stands out on white and on black
WIDE = 8.0  # from which ratio of the ends on an axis is logarithmic
PLOT_PX, ENTRY_PX = 400, 20  # height of a figure with axes, and of what each entry of a legend adds
LINE, LINE_PX, FLAG_PX = 44, 16, 22  # of a flag: characters that fit a phone, their height, what is around
MOST_TICKS = 9
_NICE = ((1, 2, 5), (1, 3), (1,))

Range = tuple[float, float | None, float | None]  # a value and its interval; None where there is none


@dataclass(frozen=True)
class Mark:
    """A system in a figure. name: plain text, also from elsewhere; symbol and dash: Plotly's names."""

    name: str
    color: str
    symbol: str = "circle"
    dash: str = "solid"


def is_wide(values: Iterable[float]) -> bool:
    """Whether values span so much that only a logarithmic axis shows them all."""
    known = [value for value in values if value > 0]
    return bool(known) and max(known) / min(known) > WIDE


def log_axis(low: float, high: float, suffix: str = "") -> dict[str, object]:
    """Of an axis from low to high, both above 0: a few ticks such as 1, 2, 5, 10, written out."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for nice in _NICE:
        inside = [one * 10.0**decade for decade in decades for one in nice]
        inside = [tick for tick in inside if low <= tick <= high]
        if len(inside) <= MOST_TICKS:
            break
    return {
        "type": "log", "range": [math.log10(low), math.log10(high)],
        "tickvals": inside, "ticktext": [f"{tick:,.10g}{suffix}" for tick in inside],
    }  # fmt: skip


def blended(color: str, opacity: float, ground: str) -> str:
    """The opaque colour that `color` gives on `ground`, all `#rrggbb`: Plotly takes any ground for white."""
    pairs = ((int(color[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(opacity * one + (1 - opacity) * other):02x}" for one, other in pairs)


def with_legend(figure: go.Figure, entries: int) -> go.Figure:
    """The figure with a legend at its foot and room for it: a phone has one entry or two in a row."""
    figure.update_layout(
        height=PLOT_PX + ENTRY_PX * entries,
        legend={
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "itemsizing": "trace",
            "itemwidth": 40,
            "maxheight": 0.6,
        },
    )
    return figure


def flagged(figure: go.Figure, flag: str, longest: int = LINE) -> go.Figure:
    """The figure with a warning above it. flag: our own words, or nothing; longest: characters of a line."""
    if flag:
        lines = textwrap.wrap(flag, longest)
        figure.update_layout(margin={"t": FLAG_PX + LINE_PX * len(lines)})
        figure.layout.height += LINE_PX * len(lines)
        figure.add_annotation(
            text="<br>".join(f"<b>{line}</b>" for line in lines), x=0, y=1, xref="paper", yref="paper",
            xanchor="left", yanchor="bottom", yshift=4, align="left", showarrow=False, font={"size": 12},
            bordercolor="#e69f00", borderwidth=1, borderpad=4, bgcolor="rgba(230,159,0,0.15)",
        )  # fmt: skip
    return figure


def error(value: Range) -> dict[str, object]:
    """Plotly's error bar of one value."""
    middle, low, high = value
    if low is None or high is None:
        return {"visible": False}
    return {
        "type": "data", "symmetric": False, "array": [high - middle], "arrayminus": [middle - low],
        "thickness": 1, "width": 3,
    }  # fmt: skip
