"""The figure of quality against latency: a point for each system, and the frontier of the best."""

import math
from collections.abc import Container, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import plotly.graph_objects as go

from hybrid.compare import Estimate
from hybrid.format import capitalized, estimate, label, listed, milliseconds_interval
from hybrid.metrics import METRICS, Metric, metrics_of
from hybrid.presentation.charts import GRAY, Drawing, Mark
from hybrid.presentation.charts.axes import (
    CLEAR,
    POINT_PX,
    Box,
    Range,
    ends,
    error_bar,
    flagged,
    framed,
    is_wide,
    log_axis,
    place_labels,
    with_legend,
)
from hybrid.presentation.runs.digest import Row, RunDigest, number
from hybrid.presentation.tradeoffs.results import LATENCIES, Tradeoffs
from hybrid.presentation.tradeoffs.selection import COLUMNS, FigureSelection, SelectedSystem
from hybrid.schema import METHODS, System, Task
from hybrid.store.tables import Table

SIZE_PX = 800, 300  # of the plot that labels are placed for; a wider one has only more room
BAR_PX = 2
FRONTIER = "Best at its latency (Pareto frontier)"
MOST_NAMES = 5  # of the best systems that the sentence names
_SHORT = {"llm": "LLM", "slm": "SLM", "hybrid": "Hybrid"}
_COLUMNS = COLUMNS | {
    "n": "examples with quality",
    "latency_ms": "median over all answers",
    "latency_ms_low": "lower end of its 95 % interval",
    "latency_ms_high": "upper end of it",
    "latency_n": "examples, or batches, behind it",
    "quality": "score of all answers together",
    "quality_low": "lower end of its 95 % bootstrap interval",
    "quality_high": "upper end of it",
    "frontier": "whether no other system of comparable runs beats it",
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """latency: the median in ms. quality: in the metric's unit. Both with their interval.

    best: no other point of its group is at least as good in both, and better in one.
    """

    run_id: str
    system: System
    engine: str
    group: Hashable
    latency: Estimate
    quality: Estimate
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A drawn point. hover: lines of plain text. label: a few words, plain text, too."""

    mark: Mark
    x: Range
    y: Range
    label: str
    hover: tuple[str, ...]


def quality_figure(selection: FigureSelection, metric: str, latency: str) -> Drawing | None:
    """Draw it; None when no system has both. metric: of hybrid.metrics; latency: of LATENCIES."""
    systems = {(selected.run_id, selected.system): selected for selected in selection}
    drawn = points(selection.runs, selection.differences.groups, metric, latency, set(systems))
    if not drawn:
        return None
    placed = [(systems[point.run_id, point.system], point) for point in drawn]
    by, scale = METRICS[metric], LATENCIES[latency]
    figure = draw(
        [_spot(selected, point, by) for selected, point in placed],
        [[(point.latency.value, point.quality.value) for point in line] for line in frontiers(drawn)],
        (f"{capitalized(scale)}, median (ms)",
         f"{by.label} ({'higher' if by.higher_is_better else 'lower'} is better)"),
        not by.higher_is_better,
        selection.differences.flag,
    )  # fmt: skip
    rows = [
        (
            *selected.cells, point.quality.n, *ends(point.latency), point.latency.n, *ends(point.quality),
            point.best,
        )
        for selected, point in placed
    ]  # fmt: skip
    columns = _COLUMNS | {"quality": f"{by.label} of all answers together"}
    return Drawing(figure, _says(placed, by, scale, selection), Table(columns, rows))


def qualities(task: Task, rows: Sequence[Row] = ()) -> tuple[str, ...]:
    """Return the metrics that say better or worse, the main one first.

    rows: of systems, as in a RunDigest: what one of them was scored by is there beside the default ones.
    """
    return tuple(
        name
        for name in metrics_of(task)
        if METRICS[name].higher_is_better is not None
        and (METRICS[name].default or any(row.get(name) is not None for row in rows))
    )


def without_quality(selection: FigureSelection, metric: str) -> list[str]:
    """Return the ids of the runs none of whose systems has a score, as those of fixed length."""
    return [
        digest.run_id
        for digest, _ in selection.runs
        if all(row.get(metric) is None for row in digest.rows.values())
    ]


def points(
    runs: Sequence[tuple[RunDigest, Tradeoffs]],
    groups: Mapping[str, Hashable],
    metric: str,
    latency: str,
    shown: Container[tuple[str, System]],
) -> list[Point]:
    """Return every system that has both, run by run. shown: run ids and systems.

    groups: by run id, the same for runs whose numbers can be compared.
    """
    results = []
    for digest, times in runs:
        for system, row in digest.rows.items():
            value, low, high = (number(row, name) for name in (metric, f"{metric}_low", f"{metric}_high"))
            spread = times.systems[system].latencies.get(latency) if system in times.systems else None
            if value is None or spread is None or (digest.run_id, system) not in shown:
                continue
            quality = Estimate(value, low, high, int(number(row, "n") or 0))
            results.append(
                Point(
                    run_id=digest.run_id, system=system, engine=str(row.get("engine")),
                    group=groups[digest.run_id], latency=spread.p50, quality=quality,
                )
            )  # fmt: skip
    return _marked(results, bool(METRICS[metric].higher_is_better))


def frontier(pairs: Sequence[tuple[float, float]], higher_is_better: bool) -> list[int]:
    """Return the places of the pairs of latency and quality that no other one beats, by latency.

    One beats another when it is at least as good in both and better in one:
    equal pairs are both on it, of two with the same latency only the better one.
    """
    sign = 1 if higher_is_better else -1
    scored = [(latency, sign * quality) for latency, quality in pairs]

    def beaten(pair: tuple[float, float]) -> bool:
        return any(x <= pair[0] and y >= pair[1] and (x, y) != pair for x, y in scored)

    return sorted((i for i, pair in enumerate(scored) if not beaten(pair)), key=lambda i: scored[i])


def frontiers(points: Sequence[Point]) -> list[list[Point]]:
    """Return the best points of each group, in ascending order of latency."""
    groups = dict.fromkeys(point.group for point in points)
    best = [[point for point in points if point.group == group and point.best] for group in groups]
    return [sorted(line, key=lambda point: point.latency.value) for line in best if line]


def draw(
    spots: Sequence[Spot],
    lines: Sequence[Sequence[tuple[float, float]]],
    titles: tuple[str, str],
    lower_is_better: bool = False,
    flag: str = "",
) -> go.Figure:
    """Draw points: better is up and to the left; where a lower score is better, the axis is turned around.

    lines: frontiers, pairs of x and y in ascending order of x; one for each group of comparable points.
    """
    figure = framed(go.Figure(), *titles)
    for place, line in enumerate(lines):
        x, y = zip(*line, strict=True)
        figure.add_scatter(
            x=x, y=y, mode="lines", name=FRONTIER, legendgroup="frontier", showlegend=not place,
            line={"color": GRAY, "width": 1.5, "dash": "dot", "shape": "hv"}, hoverinfo="skip",
        )  # fmt: skip
    for spot in spots:
        figure.add_scatter(
            x=[spot.x[0]], y=[spot.y[0]], error_x=error_bar(spot.x), error_y=error_bar(spot.y),
            mode="markers", name=label(spot.mark.name),
            marker={"color": spot.mark.color, "symbol": spot.mark.symbol, "size": 11}, hoverinfo="text",
            hovertext="<br>".join(label(line, 200) for line in (spot.mark.name, *spot.hover)),
        )  # fmt: skip
    x_range, x_axis = _axis([end for spot in spots for end in spot.x if end is not None], log=True)
    y_range, _ = _axis([end for spot in spots for end in spot.y if end is not None], log=False)
    figure.update_xaxes(**x_axis)
    figure.update_yaxes(range=y_range[::-1] if lower_is_better else y_range)
    _draw_labels(figure, spots, x_range, y_range, lower_is_better)
    return flagged(with_legend(figure, len(spots) + 1), flag)


def _axis(values: Sequence[float], log: bool) -> tuple[list[float], dict[str, object]]:
    """Both ends of an axis with room around, logarithms where it is logarithmic, and the axis."""
    if log and is_wide(values):
        low, high = min(value for value in values if value > 0) / 1.25, max(values) * 1.25
        return [math.log(low), math.log(high)], log_axis(low, high)
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return [low - room, high + room], {"range": [low - room, high + room]}


def _draw_labels(
    figure: go.Figure, spots: Sequence[Spot], x_range: list[float], y_range: list[float], turned: bool
) -> None:
    """Labels beside the points, as far as they cover no point and no other label."""
    log = figure.layout.xaxis.type == "log"

    def across(value: float) -> float:
        value = math.log(max(value, 1e-9)) if log else value
        return (value - x_range[0]) / (x_range[1] - x_range[0]) * SIZE_PX[0]

    def down(value: float) -> float:
        share = (value - y_range[0]) / (y_range[1] - y_range[0])
        return (share if turned else 1 - share) * SIZE_PX[1]

    places = [(across(spot.x[0]), down(spot.y[0])) for spot in spots]
    bars: list[Box] = []
    for spot, (x, y) in zip(spots, places, strict=True):
        left, right = (x if end is None else across(end) for end in spot.x[1:])
        top, bottom = sorted(y if end is None else down(end) for end in spot.y[1:])
        bars += [(left, y - BAR_PX, right, y + BAR_PX), (x - BAR_PX, top, x + BAR_PX, bottom)]
    sides = place_labels(places, [spot.label for spot in spots], SIZE_PX, bars)
    labelled = [(spot, side) for spot, side in zip(spots, sides, strict=True) if side]
    figure.add_scatter(
        x=[spot.x[0] for spot, _ in labelled], y=[spot.y[0] for spot, _ in labelled],
        mode="markers+text", marker={"size": POINT_PX, "color": CLEAR},  # which keep the text off the point
        text=[label(spot.label) for spot, _ in labelled], textposition=[side for _, side in labelled],
        textfont={"size": 12}, showlegend=False, hoverinfo="skip", cliponaxis=False,
    )  # fmt: skip


def _marked(points: Sequence[Point], higher_is_better: bool) -> list[Point]:
    best: set[int] = set()
    for group in dict.fromkeys(point.group for point in points):
        places = [i for i, point in enumerate(points) if point.group == group]
        pairs = [(points[i].latency.value, points[i].quality.value) for i in places]
        best.update(places[i] for i in frontier(pairs, higher_is_better))
    return [replace(point, best=i in best) for i, point in enumerate(points)]


def _spot(selected: SelectedSystem, point: Point, metric: Metric) -> Spot:
    short = _SHORT.get(selected.system.method) or METHODS[selected.system.method].label
    hover = (
        f"{milliseconds_interval(point.latency)}, n = {point.latency.n}",
        f"{estimate(point.quality, 1, metric.label)}, n = {point.quality.n}",
        f"engine {point.engine}, {selected.row['device_name']}",
        f"run {point.run_id}",
    )
    text = f"{short}, {point.engine}" if selected.system.engine else short
    return Spot(mark=selected.mark, x=ends(point.latency), y=ends(point.quality), label=text, hover=hover)


def _says(
    placed: list[tuple[SelectedSystem, Point]], metric: Metric, latency: str, selection: FigureSelection
) -> str:
    numbers = [
        f"{selected.mark.name} {milliseconds_interval(point.latency)} and "
        f"{estimate(point.quality, 1, metric.label)} (n = {point.quality.n})"
        for selected, point in placed
        if selection.is_main(selected)
    ]
    best = listed([selected.mark.name for selected, point in placed if point.best], MOST_NAMES)
    groups = len({point.group for _, point in placed})
    among = "" if groups == 1 else ", each among runs that can be compared"
    return (
        f"{metric.label} against {latency}, with 95 % intervals of both: {'; '.join(numbers)}. "
        f"No other system is at once as fast and as good as {best} (the Pareto frontier{among})."
        f"{selection.remark}"
    )
