"""Steps to 1, faded from where n carries no percentile on."""

from hybrid.presentation.charts.ecdf import DOUBTFUL, Percentile, Steps, ecdf
from hybrid.presentation.charts.parts import Mark
from hybrid.presentation.charts.systems import faded

COLOR = "#009e73"


def steps(carried: float = 0.5, scale: float = 1.0) -> Steps:
    values = tuple(scale * v for v in (10.0, 20.0, 30.0, 40.0))
    marks = (Percentile(50, 20 * scale, True, "p50"), Percentile(99, 40 * scale, False, "p99"))
    return Steps(Mark("<u>a</u>", COLOR), values, (0.25, 0.5, 0.75, 1.0), carried, marks)


def test_the_steps_rise_from_0_to_1_in_two_parts_that_meet():
    sure, doubtful, _ = ecdf([steps()], "ms").data
    assert list(zip(sure.x, sure.y, strict=True)) == [(10, 0), (10, 0.25), (20, 0.5)]
    assert list(zip(doubtful.x, doubtful.y, strict=True)) == [(20, 0.5), (30, 0.75), (40, 1)]
    assert (sure.line.color, doubtful.line.color) == (COLOR, faded(COLOR, DOUBTFUL))
    assert sure.line.shape == "hv"


def test_percentiles_that_are_not_carried_are_hollow():
    marks = ecdf([steps()], "ms").data[-1]
    assert list(marks.y) == [0.5, 0.99]
    assert marks.marker.color[0] == COLOR
    assert marks.marker.color[1] == "rgba(0,0,0,0)"


def test_with_too_few_examples_all_of_it_is_faded():
    sure, doubtful, _ = ecdf([steps(0.0)], "ms").data
    assert len(sure.x) == 1
    assert len(doubtful.x) == 5


def test_wide_ranges_are_logarithmic():
    assert ecdf([steps()], "ms").layout.xaxis.type is None
    assert ecdf([steps(), steps(scale=50)], "ms").layout.xaxis.type == "log"
    zero = Steps(Mark("a", COLOR), (0.0, 900.0), (0.5, 1.0), 1.0, ())
    assert ecdf([zero], "ms").layout.xaxis.type is None


def test_names_are_no_tags():
    assert "<u>" not in "".join(f"{t.name}{t.hovertext}" for t in ecdf([steps()], "ms").data)
