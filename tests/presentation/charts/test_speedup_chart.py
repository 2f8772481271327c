"""Systems beside a baseline, drawn: values, intervals, one colour a system, hostile names as text."""

from hybrid.presentation.charts import Mark, color_of
from hybrid.presentation.charts.speedup_chart import Placed, quality_by_speed, speedups
from hybrid.schema import BASELINE, System

EVIL = "Hybrid, <a href='http://evil.example'>x</a>"
HYBRID = System("hybrid")
SYSTEMS = [
    Placed(Mark.of("LLM alone", BASELINE, 0), None, (24.0, 22.0, 26.0), "the baseline"),
    Placed(Mark.of("Hybrid", HYBRID, 0), (3.0, 2.5, 4.0), (23.0, 21.0, 25.0), "said"),
    Placed(Mark.of(EVIL, System("hybrid", "x"), 1), (0.02, None, None), None, "<b>said</b>"),
]


def test_each_speedup_is_a_row_with_its_interval():
    hybrid, other = speedups(SYSTEMS).data
    assert (hybrid.x[0], hybrid.error_x.array[0], hybrid.error_x.arrayminus[0]) == (3.0, 1.0, 0.5)
    assert hybrid.marker.color == other.marker.color == color_of(HYBRID)
    assert hybrid.marker.symbol != other.marker.symbol
    assert other.error_x.array is None
    assert [trace.text[0] for trace in (hybrid, other)] == ["3.0×", "0.020×"]


def test_quality_has_an_interval_up_and_the_baseline_stands_at_one():
    baseline, hybrid = quality_by_speed(SYSTEMS, "BLEU, points").data
    assert (baseline.x[0], baseline.y[0], baseline.error_y.array[0]) == (1.0, 24.0, 2.0)
    assert (hybrid.x[0], hybrid.y[0], hybrid.error_y.arrayminus[0]) == (3.0, 23.0, 2.0)


def test_names_are_never_tags():
    evil = Placed(Mark.of(EVIL, System("slm"), 0), None, (1, 0, 2), EVIL)
    for figure in (speedups(SYSTEMS), quality_by_speed([*SYSTEMS, evil], "x")):
        drawn = str(figure.to_dict())
        assert "<a" not in drawn
        assert "&lt;a" in drawn
        assert "<b>" not in drawn
