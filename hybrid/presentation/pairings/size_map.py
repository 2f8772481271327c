"""The map of sizes against sizes, in squares.

What is measured is solid and bold; what is predicted is hatched and has a wavy ≈.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Literal

import plotly.graph_objects as go

from hybrid.format import capitalized, label, parameters, printable
from hybrid.models.shapes import Shape
from hybrid.presentation.charts import GRAY, Drawing, channels
from hybrid.presentation.charts.axes import CLEAR, framed
from hybrid.presentation.charts.phase_bars import HATCH
from hybrid.presentation.pairings.cells import PairCell, Source
from hybrid.presentation.pairings.metrics import (
    CELL_METRICS,
    Terms,
    cell_source,
    lines,
    on_cell,
    sentence,
    table,
    tick,
)
from hybrid.presentation.pairings.sources import Device

Kind = Literal["ratio", "share", "amount"]

# ColorBrewer's PuOr and RdBu, of each the half that colour-blind readers tell from the other
# (https://colorbrewer2.org): orange is slower or worse, white is alike, blue is faster or better.
DIVERGING = ("#b35806", "#e08214", "#fdb863", "#f7f7f7", "#92c5de", "#4393c3", "#2166ac")
SEQUENTIAL = ("#eff3ff", "#bdd7e7", "#6baed6", "#3182bd", "#08519c")  # Blues, of the same
INK, PAPER, LINE = "#000000", "#ffffff", "rgba(127,127,127,0.45)"
LEGEND: Mapping[Source, str] = {
    "measured": "Measured: solid, bold",
    "predicted": "{}: hatched, ≈",
    "none": "No number: point at it for why",
}
_SIDE = 0.94  # of a square
_UPRIGHT = 8  # columns whose names stand side by side
_NARROW = 9  # characters of a line under a column
_ROW_PX, _AROUND_PX = 58, 190
_SHARE_ENDS = 0.2  # of quality, either way of the LLM's


@dataclass(frozen=True)
class Square:
    """One place of the map. text: on it. hover: lines of plain text, names from elsewhere included."""

    column: int
    row: int
    source: Source
    value: float | None
    text: str
    hover: tuple[str, ...]


@dataclass(frozen=True)
class Scale:
    """How values become colours. kind: ratio, logarithmic around 1; share, around 1; amount, logarithmic."""

    kind: Kind
    low: float
    high: float

    @classmethod
    def of(cls, kind: Kind, values: Sequence[float]) -> "Scale":
        """Make a scale on which all values lie; ratios reach as far to either side."""
        if kind == "share":
            return cls(kind, 1 - _SHARE_ENDS, 1 + _SHARE_ENDS)
        logs = [math.log2(value) for value in values if value > 0] or [0.0]
        if kind == "ratio":
            far = max(1.0, *map(abs, logs))
            return cls(kind, -far, far)
        return cls(kind, min(logs), max(max(logs), min(logs) + 1))

    def place(self, value: float) -> float:
        """0 to 1."""
        at = value if self.kind == "share" else math.log2(value) if value > 0 else self.low
        return min(1.0, max(0.0, (at - self.low) / (self.high - self.low)))

    @property
    def colors(self) -> tuple[str, ...]:
        return SEQUENTIAL if self.kind == "amount" else DIVERGING

    def color(self, value: float) -> str:
        """`#rrggbb`, between the two nearest of the scale's."""
        at = self.place(value) * (len(self.colors) - 1)
        index = min(int(at), len(self.colors) - 2)
        ends = [channels(color) for color in self.colors[index : index + 2]]
        mixed = [round(a + (b - a) * (at - index)) for a, b in zip(*ends, strict=True)]
        return "#" + "".join(f"{channel:02x}" for channel in mixed)

    def ticks(self) -> list[float]:
        """Round values of the scale, few enough to be read."""
        if self.kind == "share":
            return [0.8, 0.9, 1.0, 1.1, 1.2]
        low, high = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
        step = max(1, math.ceil((high - low) / 4))
        start = -(-low // step) * step  # 0, which is 1x, is among them
        return [2.0**at for at in range(start, high + 1, step)]


def map_figure(
    name: str, device: Device, cells: Sequence[PairCell], terms: Terms, chosen: tuple[str, str]
) -> Drawing:
    """Draw the map. name: of CELL_METRICS. cells: rows of LLMs, in them SLMs. chosen: LLM and SLM framed."""
    metric = CELL_METRICS[name]
    llms, slms = ({(shape := side(cell)).name: shape for cell in cells} for side in (_llm, _slm))
    columns, rows = list(slms), list(llms)
    squares = [
        Square(
            columns.index(cell.slm.name), rows.index(cell.llm.name), cell_source(name, cell, terms),
            metric.number(cell, terms), on_cell(name, cell, terms), lines(name, cell, terms),
        )
        for cell in cells
    ]  # fmt: skip
    names = tuple(
        [axis_name(shape.name, parameters(shape.parameters), narrow) for shape in shapes.values()]
        for shapes, narrow in ((slms, True), (llms, False))
    )
    words = {value: tick(name, value) for value in _scale(squares, metric.scale).ticks()}
    place = columns.index(chosen[1]), rows.index(chosen[0])
    guess = next((cell.estimate for cell in cells if cell.source == "predicted"), "predicted")
    figure = heat_map(squares, (names[0], names[1]), metric.scale, words, place, guess)
    return Drawing(figure, sentence(name, device, cells, terms), table(device, cells, terms))


def heat_map(
    squares: Sequence[Square],
    names: tuple[Sequence[str], Sequence[str]],
    kind: Kind,
    words: Mapping[float, str],
    chosen: tuple[int, int] | None = None,
    guess: str = "predicted",
) -> go.Figure:
    """Draw LLMs upwards by SLMs to the right. names: of columns and of rows, as (SLMs, LLMs).

    words: the scale's ticks in words. chosen: column and row that are framed. guess: what is not measured is.
    """
    scale = _scale(squares, kind)
    figure = go.Figure()
    for source, what in LEGEND.items():
        squares_of = [square for square in squares if square.source == source]
        if squares_of:
            figure.add_trace(_trace(squares_of, source, scale))
            figure.add_bar(
                x=[None],
                y=[None],
                name=_legend(what, guess),
                marker=_key(source),
                hoverinfo="skip",
            )
    if any(square.value is not None for square in squares):
        figure.add_scatter(
            x=[None], y=[None], mode="markers", marker={"color": [0], "coloraxis": "coloraxis"},
            showlegend=False, hoverinfo="skip",
        )  # fmt: skip
        figure.update_layout(coloraxis=_color_axis(scale, words))
    height = _AROUND_PX + _ROW_PX * max(2, len(names[1]))
    framed(figure, "SLM, which writes", "LLM, which reads", height)
    still = {"itemclick": False, "itemdoubleclick": False}
    below = {"yanchor": "bottom", "y": 0, "yref": "container"}
    figure.update_layout(barmode="overlay", margin={"t": 64}, legend=still | below)
    for update, texts in ((figure.update_xaxes, names[0]), (figure.update_yaxes, names[1])):
        update(
            tickvals=list(range(len(texts))), ticktext=list(texts), range=[-0.5, max(1, len(texts)) - 0.5],
            showgrid=False, zeroline=False, fixedrange=True, showline=False, ticks="",
        )  # fmt: skip
    figure.update_xaxes(tickangle=0 if len(names[0]) <= _UPRIGHT else None)
    for width, color in ((5, PAPER), (2, INK)) if chosen else ():
        figure.add_shape(_frame(chosen or (0, 0), width, color))
    return figure


def _legend(what: str, guess: str) -> str:
    """Put how values were come by into a text of LEGEND, in lines that fit a phone."""
    return "<br>".join(wrap(what.format(capitalized(guess)), 36))


def axis_name(name: str, size: str, narrow: bool = False) -> str:
    """`t5-v1_1-large` over `783M`, for an axis; the name may be from elsewhere. narrow: in short lines."""
    if not narrow:
        return f"{label(name, 24)}<br>{size}"
    lines = [""]
    for part in re.findall(rf"[^-]{{1,{_NARROW}}}-?|-", printable(name, 24)):
        if lines[-1] and len(lines[-1] + part) > _NARROW:
            lines.append("")
        lines[-1] += part
    return "<br>".join([*(label(line) for line in lines), size])


def _llm(cell: PairCell) -> Shape:
    return cell.llm


def _slm(cell: PairCell) -> Shape:
    return cell.slm


def _scale(squares: Sequence[Square], kind: Kind) -> Scale:
    return Scale.of(kind, [square.value for square in squares if square.value is not None])


def _trace(squares: Sequence[Square], source: Source, scale: Scale) -> go.Bar:
    """Squares as bars, which can be hatched and clicked on: no other trace of Plotly's can be both."""
    fills = [CLEAR if square.value is None else scale.color(square.value) for square in squares]
    inks = [GRAY if fill == CLEAR else _ink(fill) for fill in fills]
    return go.Bar(
        x=[square.column for square in squares], y=[_SIDE] * len(squares), width=_SIDE,
        base=[square.row - _SIDE / 2 for square in squares],
        marker={
            "color": fills, "line": {"width": 1, "color": LINE},
            "pattern": HATCH if source == "predicted" else {"shape": ""},
        },
        text=[square.text for square in squares], textposition="inside", insidetextanchor="middle",
        textangle=0, constraintext="inside", cliponaxis=False,
        insidetextfont={"color": inks, "size": 14, "weight": 800 if source == "measured" else 400},
        customdata=[[square.column, square.row] for square in squares],
        hovertext=[_hover(square.hover) for square in squares],
        hovertemplate="%{hovertext}<extra></extra>", showlegend=False, name="",
        unselected={"marker": {"opacity": 1}}, selected={"marker": {"opacity": 1}},
    )  # fmt: skip


def _hover(lines: Sequence[str]) -> str:
    """Lines that fit a phone; a name from elsewhere may be long."""
    parts = [part for line in lines for part in wrap(printable(line, 400), 60, subsequent_indent="   ")]
    return "<br>".join(label(part, 80) for part in parts)


def _key(source: Source) -> dict[str, object]:
    """How the legend shows a source, whatever the value."""
    line = {"width": 1, "color": GRAY}
    if source == "none":
        return {"color": CLEAR, "line": line}
    fill = DIVERGING[4]
    return {"color": fill, "line": line, "pattern": HATCH if source == "predicted" else {"shape": ""}}


def _color_axis(scale: Scale, words: Mapping[float, str]) -> dict[str, object]:
    """Draw a strip above the map with a few values in words."""
    steps = [[i / (len(scale.colors) - 1), color] for i, color in enumerate(scale.colors)]
    return {
        "colorscale": steps, "cmin": 0, "cmax": 1,
        "colorbar": {
            "orientation": "h", "thickness": 10, "len": 1, "x": 0.5, "y": 1.0, "yanchor": "bottom", "ypad": 6,
            "xpad": 0, "tickvals": [scale.place(value) for value in words], "ticktext": list(words.values()),
            "ticklabelposition": "outside top", "outlinewidth": 0,
        },
    }  # fmt: skip


def _frame(place: tuple[int, int], width: int, color: str) -> dict[str, object]:
    column, row = place
    half = _SIDE / 2
    return {
        "type": "rect", "x0": column - half, "x1": column + half, "y0": row - half, "y1": row + half,
        "line": {"color": color, "width": width}, "layer": "above",
    }  # fmt: skip


def _ink(fill: str) -> str:
    """Black or white, whichever stands out more (WCAG 2.2, contrast ratio)."""
    light = _luminance(fill)
    return INK if (light + 0.05) / (_luminance(INK) + 0.05) > (1 + 0.05) / (light + 0.05) else PAPER


def _luminance(color: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    parts = [part / 255 for part in channels(color)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
