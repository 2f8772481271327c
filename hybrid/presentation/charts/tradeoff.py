"""Quality against latency: a point with both intervals for each system, and the frontier of the best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from hybrid.format import label
from hybrid.presentation.charts.frame import CLEAR, framed
from hybrid.presentation.charts.parts import GRAY, Mark, Range, error, flagged, is_wide, log_axis, with_legend

WIDTH_PX, HEIGHT_PX = 800, 300  # of the plot that labels are placed for; a wider one has only more room
CHARACTER_PX, LINE_PX, POINT_PX, BAR_PX = 5.6, 15, 12, 2
_SIDES = {"top right": (0, -1), "bottom right": (0, 0), "top left": (-1, -1), "bottom left": (-1, 0)}
FRONTIER = "Best at its latency (Pareto frontier)"

Box = tuple[float, float, float, float]  # left, top, right, bottom in px


@dataclass(frozen=True)
class Spot:
    """x, y: with their intervals. hover: lines of plain text. label: a few words, plain text, too."""

    mark: Mark
    x: Range
    y: Range
    label: str
    hover: tuple[str, ...]


def quality_against_latency(
    spots: Sequence[Spot],
    frontiers: Sequence[Sequence[tuple[float, float]]],
    x_title: str,
    y_title: str,
    lower_is_better: bool = False,
    flag: str = "",
) -> go.Figure:
    """Better is up and to the left: where a lower score is better, the axis is turned around.

    frontiers: pairs of x and y in ascending order of x; one for each group of comparable points.
    """
    figure = framed(go.Figure(), x_title, y_title)
    for number, line in enumerate(frontiers):
        x, y = zip(*line, strict=True)
        figure.add_scatter(
            x=x, y=y, mode="lines", name=FRONTIER, legendgroup="frontier", showlegend=not number,
            line={"color": GRAY, "width": 1.5, "dash": "dot", "shape": "hv"}, hoverinfo="skip",
        )  # fmt: skip
    for spot in spots:
        _draw(figure, spot)
    x_ends = _ends([end for spot in spots for end in spot.x if end is not None], log=True)
    y_ends = _ends([end for spot in spots for end in spot.y if end is not None], log=False)
    figure.update_xaxes(**x_ends[1])
    figure.update_yaxes(range=y_ends[0][::-1] if lower_is_better else y_ends[0])
    _name(figure, spots, x_ends[0], y_ends[0], lower_is_better)
    return flagged(with_legend(figure, len(spots) + 1), flag)


def _draw(figure: go.Figure, spot: Spot) -> None:
    figure.add_scatter(
        x=[spot.x[0]], y=[spot.y[0]], error_x=error(spot.x), error_y=error(spot.y), mode="markers",
        name=label(spot.mark.name), marker={"color": spot.mark.color, "symbol": spot.mark.symbol, "size": 11},
        hoverinfo="text", hovertext="<br>".join(label(line, 200) for line in (spot.mark.name, *spot.hover)),
    )  # fmt: skip


def _ends(values: Sequence[float], log: bool) -> tuple[list[float], dict[str, object]]:
    """Both ends of an axis with room around, and the axis."""
    if log and is_wide(values):
        low, high = min(value for value in values if value > 0) / 1.25, max(values) * 1.25
        return [math.log(low), math.log(high)], log_axis(low, high)
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return [low - room, high + room], {"range": [low - room, high + room]}


def _name(
    figure: go.Figure, spots: Sequence[Spot], x_ends: list[float], y_ends: list[float], turned: bool
) -> None:
    """Labels beside the points, as far as they cover no point and no other label."""
    log = figure.layout.xaxis.type == "log"

    def across(value: float) -> float:
        value = math.log(max(value, 1e-9)) if log else value
        return (value - x_ends[0]) / (x_ends[1] - x_ends[0]) * WIDTH_PX

    def down(value: float) -> float:
        share = (value - y_ends[0]) / (y_ends[1] - y_ends[0])
        return (share if turned else 1 - share) * HEIGHT_PX

    points = [(across(spot.x[0]), down(spot.y[0])) for spot in spots]
    bars: list[Box] = []
    for spot, (x, y) in zip(spots, points, strict=True):
        left, right = (x if end is None else across(end) for end in spot.x[1:])
        top, bottom = sorted(y if end is None else down(end) for end in spot.y[1:])
        bars += [(left, y - BAR_PX, right, y + BAR_PX), (x - BAR_PX, top, x + BAR_PX, bottom)]
    named = placed(points, [spot.label for spot in spots], bars)
    chosen = [(spot, side) for spot, side in zip(spots, named, strict=True) if side]
    figure.add_scatter(
        x=[spot.x[0] for spot, _ in chosen], y=[spot.y[0] for spot, _ in chosen],
        mode="markers+text", marker={"size": POINT_PX, "color": CLEAR},  # which keep the text off the point
        text=[label(spot.label) for spot, _ in chosen], textposition=[side for _, side in chosen],
        textfont={"size": 12}, showlegend=False, hoverinfo="skip", cliponaxis=False,
    )  # fmt: skip


def placed(
    points: Sequence[tuple[float, float]], labels: Sequence[str], bars: Sequence[Box] = ()
) -> list[str]:
    """On which side of its point (px, y downwards) each label stands, first come first served; else empty.

    bars: other boxes that no label may cover.
    """
    half = POINT_PX / 2
    taken: list[Box] = [*bars, *((x - half, y - half, x + half, y + half) for x, y in points)]
    sides = []
    for (x, y), text in zip(points, labels, strict=True):
        width = CHARACTER_PX * len(text)
        boxes: dict[str, Box] = {}
        for side, (left, above) in _SIDES.items():
            x0 = x + left * width + (half if left == 0 else -half)
            y0 = y + above * LINE_PX + (half if above == 0 else -half)
            boxes[side] = (x0, y0, x0 + width, y0 + LINE_PX)
        free = [s for s, box in boxes.items() if _inside(box) and not any(_meet(box, t) for t in taken)]
        sides.append(free[0] if free else "")
        if free:
            taken.append(boxes[free[0]])
    return sides


def _inside(box: Box) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= WIDTH_PX and box[3] <= HEIGHT_PX


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
