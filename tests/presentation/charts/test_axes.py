"""Axes for values far apart, and labels that cover nothing."""

import itertools
import random

import pytest

from hybrid.presentation.charts.axes import CHARACTER_PX, LABEL_PX, POINT_PX, is_wide, log_axis, place_labels

SIZE = 800, 300


@pytest.mark.parametrize(("low", "high"), [(1.6, 1080.0), (1e-6, 1e6), (0.02, 9.0)])
def test_a_logarithmic_axis_has_few_round_ticks_inside(low: float, high: float):
    axis = log_axis(low, high, "×")
    assert 2 <= len(axis["tickvals"]) <= 13
    assert all(low <= tick <= high for tick in axis["tickvals"])
    assert all(text.endswith("×") for text in axis["ticktext"])
    assert is_wide((low, high))
    assert not is_wide((2.0, 3.0))


def boxes(
    points: list[tuple[float, float]], labels: list[str]
) -> dict[int, tuple[float, float, float, float]]:
    """Where the labels are, told from their sides alone."""
    label_boxes = {}
    for i, ((x, y), side, text) in enumerate(
        zip(points, place_labels(points, labels, SIZE), labels, strict=True)
    ):
        if side:
            width = CHARACTER_PX * len(text)
            left = x + POINT_PX / 2 if "right" in side else x - POINT_PX / 2 - width
            top = y - POINT_PX / 2 - LABEL_PX if "top" in side else y + POINT_PX / 2
            label_boxes[i] = (left, top, left + width, top + LABEL_PX)
    return label_boxes


def apart(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_labels_cover_neither_each_other_nor_a_point():
    draw = random.Random(5)
    for count in (1, 3, 14, 60):
        points = [(draw.uniform(0, 800), draw.uniform(0, 300)) for _ in range(count)]
        label_boxes = boxes(points, ["Hybrid, torch"] * count)
        assert label_boxes or count == 60
        assert all(apart(a, b) for a, b in itertools.combinations(label_boxes.values(), 2))
        for box in label_boxes.values():
            assert all(apart(box, (x - 6, y - 6, x + 6, y + 6)) for x, y in points)
            assert box[0] >= 0
            assert box[2] <= 800


def test_labels_of_points_far_apart_are_all_there():
    assert (
        place_labels([(100, 100), (400, 100), (700, 200)], ["LLM", "SLM", "Hybrid"], SIZE)
        == ["top right"] * 3
    )
    assert place_labels([(795, 5)], ["LLM"], SIZE) == ["bottom left"]
