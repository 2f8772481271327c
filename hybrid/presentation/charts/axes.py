"""What large figures share: margins that fit a phone, wide axes, error bars, a legend below, a flag above."""

import math
import textwrap
from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from hybrid.format import Interval

CLEAR = "rgba(0,0,0,0)"
LEGEND = {
    "orientation": "h", "yanchor": "top", "y": -0.22, "xanchor": "left", "x": 0, "title": None,
    "itemsizing": "constant",
}  # fmt: skip
MARGIN = {"l": 8, "r": 8, "t": 16, "b": 8}
WIDE = 8.0  # from which ratio of the ends on an axis is logarithmic
PLOT_PX, ENTRY_PX = 400, 20  # height of a figure with axes, and of what each entry of a legend adds
LINE, LINE_PX, FLAG_PX = 44, 16, 22  # of a flag: characters that fit a phone, their height, what is around
MOST_TICKS = 9
CHARACTER_PX, LABEL_PX, POINT_PX = 5.6, 15, 12  # of a label: a character's width, its height, its point
_NICE = ((1, 2, 5), (1, 3), (1,))
_SIDES = {"top right": (0, -1), "bottom right": (0, 0), "top left": (-1, -1), "bottom left": (-1, 0)}

Range = tuple[float, float | None, float | None]  # a value and its interval; None where there is none
Box = tuple[float, float, float, float]  # left, top, right, bottom in px


def framed(figure: go.Figure, x_title: str, y_title: str, height: int = 420) -> go.Figure:
    """Lay the figure out, and return it. Titles are our own words, with units; not from elsewhere."""
    figure.update_layout(
        height=height, margin=MARGIN, legend=LEGEND, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR,
        hovermode="closest", hoverlabel={"align": "left"}, dragmode=False,
    )  # fmt: skip
    figure.update_xaxes(title=x_title, automargin=True)
    figure.update_yaxes(title=y_title, automargin=True)
    return figure


def ends(estimate: Interval) -> Range:
    """Return the value and its interval, for an error bar."""
    return estimate.value, estimate.low, estimate.high


def is_wide(values: Iterable[float]) -> bool:
    """Tell whether values span so much that only a logarithmic axis shows them all."""
    known = [value for value in values if value > 0]
    return bool(known) and max(known) / min(known) > WIDE


def log_axis(low: float, high: float, suffix: str = "", most: int = MOST_TICKS) -> dict[str, object]:
    """Return an axis from low to high, both above 0: a few ticks such as 1, 2, 5, 10, written out."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for nice in _NICE:
        ticks = [step * 10.0**decade for decade in decades for step in nice]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    return {
        "type": "log", "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks, "ticktext": [f"{tick:,.10g}{suffix}" for tick in ticks],
    }  # fmt: skip


def error_bar(value: Range | None, color: str | None = None, thickness: int = 1) -> dict[str, object]:
    """Return Plotly's error bar of one value; an invisible one where there is no interval."""
    middle, low, high = value or (0.0, None, None)
    if low is None or high is None:
        return {"visible": False}
    return {
        "type": "data", "symmetric": False, "array": [max(high - middle, 0.0)],
        "arrayminus": [max(middle - low, 0.0)], "thickness": thickness, "width": 2 * thickness + 1,
        "color": color,
    }  # fmt: skip


def with_legend(figure: go.Figure, entries: int) -> go.Figure:
    """Put a legend at the figure's foot, with room for it: a phone has one entry or two in a row."""
    figure.update_layout(
        height=PLOT_PX + ENTRY_PX * entries,
        legend={
            "yref": "container", "y": 0, "yanchor": "bottom", "itemsizing": "trace", "itemwidth": 40,
            "maxheight": 0.6,
        },
    )  # fmt: skip
    return figure


def flagged(figure: go.Figure, flag: str, longest: int = LINE) -> go.Figure:
    """Put a warning above the figure. flag: our own words, or nothing; longest: characters of a line."""
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


def place_labels(
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    size: tuple[float, float],
    bars: Sequence[Box] = (),
) -> list[str]:
    """Choose on which side of its point (px, y downwards) each label stands; empty where it has no room.

    First come, first served. size: of the plot in px. bars: other boxes that no label may cover.
    """
    half = POINT_PX / 2
    taken: list[Box] = [*bars, *((x - half, y - half, x + half, y + half) for x, y in points)]
    sides = []
    for (x, y), text in zip(points, labels, strict=True):
        width = CHARACTER_PX * len(text)
        boxes: dict[str, Box] = {}
        for side, (left, above) in _SIDES.items():
            x0 = x + left * width + (half if left == 0 else -half)
            y0 = y + above * LABEL_PX + (half if above == 0 else -half)
            boxes[side] = (x0, y0, x0 + width, y0 + LABEL_PX)
        free = [s for s, box in boxes.items() if _inside(box, size) and not any(_meet(box, t) for t in taken)]
        sides.append(free[0] if free else "")
        if free:
            taken.append(boxes[free[0]])
    return sides


def _inside(box: Box, size: tuple[float, float]) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]


def _meet(box: Box, other: Box) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
