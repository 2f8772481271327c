"""Which points no other one beats; error bars, and names that stay text."""

import itertools
import math

import pytest

from hybrid.compare import Estimate
from hybrid.presentation.charts import Mark
from hybrid.presentation.tradeoffs.quality import Point, Spot, _marked, draw, frontier, frontiers, qualities
from hybrid.schema import BASELINE, TASKS

GRID = list(itertools.product((10.0, 20.0, 30.0), (1.0, 2.0)))
HOSTILE = '<a href="https://x.org">%{x}</a><script>'


def spot(x: float, y: float, name: str = "a") -> Spot:
    x_range, y_range = (x, 0.9 * x, 1.2 * x), (y, y - 1, y + 2)
    return Spot(mark=Mark(name, "#0072b2"), x=x_range, y=y_range, label=name, hover=(f"{name} ms",))


def test_error_bars_are_the_intervals():
    trace = draw([spot(10, 20)], [], ("x", "y")).data[0]
    assert math.isclose(trace.error_x.array[0], 2)
    assert math.isclose(trace.error_x.arrayminus[0], 1)
    assert (trace.error_y.array[0], trace.error_y.arrayminus[0]) == (2, 1)


def test_without_an_interval_there_is_no_error_bar():
    alone = Spot(mark=Mark("a", "#0072b2"), x=(10, None, None), y=(20, None, None), label="a", hover=())
    trace = draw([alone], [[(10, 20)]], ("x", "y")).data[1]
    assert trace.error_x.visible is False
    assert trace.error_y.visible is False


def test_a_wide_range_is_logarithmic_and_holds_every_interval():
    figure = draw([spot(2, 20), spot(900, 25)], [], ("x", "y"))
    low, high = (10**end for end in figure.layout.xaxis.range)
    assert figure.layout.xaxis.type == "log"
    assert low < 0.9 * 2
    assert high > 1.2 * 900
    assert all(low <= tick <= high for tick in figure.layout.xaxis.tickvals)
    assert draw([spot(20, 20), spot(25, 25)], [], ("x", "y")).layout.xaxis.type is None


def test_a_lower_score_that_is_better_stands_higher():
    figure = draw([spot(10, 20), spot(20, 60)], [], ("x", "TER"), lower_is_better=True)
    top, bottom = figure.layout.yaxis.range[::-1]
    assert top < 19 < 62 < bottom


def test_a_hostile_name_is_no_tag_anywhere():
    figure = draw([spot(10, 20, HOSTILE)], [], ("x", "y"))
    drawn = figure.to_plotly_json()
    assert "<a" not in str(drawn)
    assert "<script" not in str(drawn)
    assert all(trace.hovertemplate is None for trace in figure.data)  # which would read %{x}
    assert "&lt;a href" in figure.data[0].name


def test_of_four_the_beaten_one_is_left_out_in_order_of_latency():
    pairs = [(30.0, 40.0), (10.0, 20.0), (25.0, 19.0), (20.0, 30.0)]
    assert frontier(pairs, higher_is_better=True) == [1, 3, 0]
    assert frontier(pairs, higher_is_better=False) == [1, 2]


def test_equal_points_are_both_on_it_and_of_equal_latency_only_the_better():
    assert frontier([(10.0, 20.0), (10.0, 20.0), (12.0, 20.0)], True) == [0, 1]
    assert frontier([(10.0, 20.0), (10.0, 21.0)], True) == [1]
    assert frontier([(10.0, 20.0), (10.0, 21.0)], False) == [0]
    assert frontier([], True) == []


@pytest.mark.parametrize("higher", [True, False])
def test_it_is_what_the_definition_says(higher: bool):
    for pairs in itertools.product(GRID, repeat=3):
        best = frontier(pairs, higher)
        for i, (x, y) in enumerate(pairs):
            faster_or_better = [
                a <= x and (b >= y if higher else b <= y) and (a < x or b != y) for a, b in pairs
            ]
            assert (i in best) == (not any(faster_or_better))


def point(group: str, latency: float, quality: float) -> Point:
    latencies, qualities_ = Estimate(latency, None, None, 9), Estimate(quality, None, None, 9)
    return Point(
        run_id=group, system=BASELINE, engine="onnx", group=group, latency=latencies, quality=qualities_
    )


def test_a_faster_machine_beats_nobody_on_another_one():
    points = _marked([point("cpu", 100, 30), point("cpu", 200, 25), point("gpu", 10, 30)], True)
    assert [placed.best for placed in points] == [True, False, True]
    assert [[placed.run_id for placed in line] for line in frontiers(points)] == [["cpu"], ["gpu"]]


def test_every_task_has_its_metrics():
    assert qualities(TASKS["translate-en-de"]) == ("bleu", "chrf", "ter")
    assert qualities(TASKS["summarize"], [{"n": 3}, {"repetition": None}]) == ("rougeL", "rouge1", "rouge2")
    assert qualities(TASKS["summarize"], [{}, {"repetition": 0.0}])[-1] == "repetition"
