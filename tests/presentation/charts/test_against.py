"""Systems beside a baseline, drawn: values, intervals, one colour a system, hostile names as text."""

import pytest

from hybrid.presentation.charts import color_of
from hybrid.presentation.charts.against import Mark, Span, quality_by_speed, speedups
from hybrid.schema import BASELINE, System

EVIL = "Hybrid, <a href='http://evil.example'>x</a>"
MARKS = [
    Mark("LLM alone", BASELINE, 0, None, Span(24.0, 22.0, 26.0), "the baseline"),
    Mark("Hybrid", System("hybrid"), 0, Span(3.0, 2.5, 4.0), Span(23.0, 21.0, 25.0), "said"),
    Mark(EVIL, System("hybrid", "x"), 1, Span(0.02, None, None), None, "<b>said</b>"),
]


def test_each_speedup_is_a_row_with_its_interval():
    figure = speedups(MARKS)
    hybrid, other = figure.data
    assert (hybrid.x[0], hybrid.error_x.array[0], hybrid.error_x.arrayminus[0]) == (3.0, 1.0, 0.5)
    assert hybrid.marker.color == other.marker.color == color_of(System("hybrid"))
    assert hybrid.marker.symbol != other.marker.symbol
    assert other.error_x.array is None
    assert [trace.text[0] for trace in figure.data] == ["3.0×", "0.020×"]


def test_quality_has_an_interval_up_and_the_baseline_stands_at_one():
    baseline, hybrid = quality_by_speed(MARKS, "BLEU, points").data
    assert (baseline.x[0], baseline.y[0], baseline.error_y.array[0]) == (1.0, 24.0, 2.0)
    assert (hybrid.x[0], hybrid.y[0], hybrid.error_y.arrayminus[0]) == (3.0, 23.0, 2.0)


def test_names_are_never_tags():
    evil = Mark(EVIL, System("slm"), 0, None, Span(1, 0, 2), EVIL)
    for figure in (speedups(MARKS), quality_by_speed([*MARKS, evil], "x")):
        drawn = str(figure.to_dict())
        assert "<a" not in drawn
        assert "&lt;a" in drawn
        assert "<b>" not in drawn


@pytest.mark.parametrize(("values", "kind"), [((2.0, 3.0), None), ((0.02, 9.0), "log"), ((1e-6, 1e6), "log")])
def test_an_axis_is_logarithmic_when_ratios_lie_far_apart(values: tuple[float, float], kind: str | None):
    figure = speedups([Mark(str(v), System("slm"), 0, Span(v, v, v), None, "") for v in values])
    assert figure.layout.xaxis.type == kind
    if kind:
        assert 2 <= len(figure.layout.xaxis.tickvals) <= 13
