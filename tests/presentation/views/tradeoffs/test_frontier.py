"""Which points no other one beats, with ties and where lower is better."""

import itertools

import pytest

from hybrid.compare import Estimate
from hybrid.presentation.views.tradeoffs.frontier import Point, _marked, frontier, frontiers, qualities

GRID = list(itertools.product((10.0, 20.0, 30.0), (1.0, 2.0)))


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
        found = frontier(pairs, higher)
        for i, (x, y) in enumerate(pairs):
            faster_or_better = [
                a <= x and (b >= y if higher else b <= y) and (a < x or b != y) for a, b in pairs
            ]
            assert (i in found) == (not any(faster_or_better))


def point(group: str, latency: float, quality: float) -> Point:
    return Point(
        group, "llm", "onnx", group, Estimate(latency, None, None, 9), Estimate(quality, None, None, 9)
    )


def test_a_faster_machine_beats_nobody_on_another_one():
    found = _marked([point("cpu", 100, 30), point("cpu", 200, 25), point("gpu", 10, 30)], True)
    assert [one.best for one in found] == [True, False, True]
    assert [[one.run_id for one in line] for line in frontiers(found)] == [["cpu"], ["gpu"]]


def test_every_task_has_its_metrics():
    assert qualities("translate-en-de") == ("bleu", "chrf", "ter")
    assert qualities("summarize") == ("rougeL", "rouge1", "rouge2")
    assert qualities("no such task") == ()
