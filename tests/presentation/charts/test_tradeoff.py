"""Points with error bars, labels that cover nothing, names that stay text."""

import itertools
import math
import random

from hybrid.presentation.charts.parts import Mark
from hybrid.presentation.charts.tradeoff import (
    CHARACTER_PX,
    LINE_PX,
    POINT_PX,
    Spot,
    placed,
    quality_against_latency,
)

HOSTILE = '<a href="https://x.org">%{x}</a><script>'


def spot(x: float, y: float, name: str = "a") -> Spot:
    return Spot(Mark(name, "#0072b2"), (x, 0.9 * x, 1.2 * x), (y, y - 1, y + 2), name, (f"{name} ms",))


def test_error_bars_are_the_intervals():
    trace = quality_against_latency([spot(10, 20)], [], "x", "y").data[0]
    assert math.isclose(trace.error_x.array[0], 2)
    assert math.isclose(trace.error_x.arrayminus[0], 1)
    assert (trace.error_y.array[0], trace.error_y.arrayminus[0]) == (2, 1)


def test_without_an_interval_there_is_no_error_bar():
    alone = Spot(Mark("a", "#0072b2"), (10, None, None), (20, None, None), "a", ())
    trace = quality_against_latency([alone], [[(10, 20)]], "x", "y").data[1]
    assert trace.error_x.visible is False
    assert trace.error_y.visible is False


def test_a_wide_range_is_logarithmic_and_holds_every_interval():
    figure = quality_against_latency([spot(2, 20), spot(900, 25)], [], "x", "y")
    low, high = (10**end for end in figure.layout.xaxis.range)
    assert figure.layout.xaxis.type == "log"
    assert low < 0.9 * 2
    assert high > 1.2 * 900
    assert all(low <= tick <= high for tick in figure.layout.xaxis.tickvals)
    assert 3 <= len(figure.layout.xaxis.tickvals) <= 9
    assert quality_against_latency([spot(20, 20), spot(25, 25)], [], "x", "y").layout.xaxis.type is None


def test_a_lower_score_that_is_better_stands_higher():
    figure = quality_against_latency([spot(10, 20), spot(20, 60)], [], "x", "TER", lower_is_better=True)
    top, bottom = figure.layout.yaxis.range[::-1]
    assert top < 19 < 62 < bottom


def test_a_hostile_name_is_no_tag_anywhere():
    figure = quality_against_latency([spot(10, 20, HOSTILE)], [], "x", "y")
    drawn = figure.to_plotly_json()
    assert "<a" not in str(drawn)
    assert "<script" not in str(drawn)
    assert all(trace.hovertemplate is None for trace in figure.data)  # which would read %{x}
    assert "&lt;a href" in figure.data[0].name


def boxes(
    points: list[tuple[float, float]], labels: list[str]
) -> dict[int, tuple[float, float, float, float]]:
    """Where the labels are, told from their sides alone."""
    found = {}
    for i, ((x, y), side, text) in enumerate(zip(points, placed(points, labels), labels, strict=True)):
        if side:
            width = CHARACTER_PX * len(text)
            left = x + POINT_PX / 2 if "right" in side else x - POINT_PX / 2 - width
            top = y - POINT_PX / 2 - LINE_PX if "top" in side else y + POINT_PX / 2
            found[i] = (left, top, left + width, top + LINE_PX)
    return found


def apart(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_labels_cover_neither_each_other_nor_a_point():
    draw = random.Random(5)
    for count in (1, 3, 14, 60):
        points = [(draw.uniform(0, 800), draw.uniform(0, 300)) for _ in range(count)]
        found = boxes(points, ["Hybrid, torch"] * count)
        assert found or count == 60
        assert all(apart(a, b) for a, b in itertools.combinations(found.values(), 2))
        for box in found.values():
            assert all(apart(box, (x - 6, y - 6, x + 6, y + 6)) for x, y in points)
            assert box[0] >= 0
            assert box[2] <= 800


def test_labels_of_points_far_apart_are_all_there():
    assert placed([(100, 100), (400, 100), (700, 200)], ["LLM", "SLM", "Hybrid"]) == ["top right"] * 3
    assert placed([(795, 5)], ["LLM"]) == ["bottom left"]
