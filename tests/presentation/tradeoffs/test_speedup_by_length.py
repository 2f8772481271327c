"""Lines with bands over lengths, and the line at 1x."""

from hybrid.presentation.charts import Mark
from hybrid.presentation.tradeoffs.speedup_by_length import Curve, draw

MARK = Mark("<i>Hybrid</i>", "#009e73")


def curve(factor: float = 1.0, **more: object) -> Curve:
    y = tuple((factor * v, factor * v * 0.9, factor * v * 1.1) for v in (2.0, 3.0, 4.0))
    return Curve(mark=MARK, x=(10, 20, 30), y=y, hover=("a", "b", "c"), **more)


def test_the_band_goes_along_both_ends_of_the_interval():
    band, line = draw([curve()], "tokens").data
    assert list(band.x) == [10, 20, 30, 30, 20, 10]
    assert list(band.y) == [2.0 * 1.1, 3.0 * 1.1, 4.0 * 1.1, 4.0 * 0.9, 3.0 * 0.9, 2.0 * 0.9]
    assert list(line.y) == [2, 3, 4]
    assert band.fill == "toself"
    assert len(draw([curve(banded=False)], "tokens").data) == 1


def test_the_line_at_1_is_seen_with_fast_and_with_slow_systems():
    near = draw([curve()], "tokens")
    assert near.layout.yaxis.range[0] <= 1 <= near.layout.yaxis.range[1]
    wide = draw([curve(0.02), curve(3)], "tokens")
    low, high = wide.layout.yaxis.range
    assert wide.layout.yaxis.type == "log"
    assert low < 0 < high
    assert wide.layout.shapes[0].y0 == 1
    assert wide.layout.annotations[0].y == 0  # of a logarithmic axis, its exponent
    assert 1.0 in wide.layout.yaxis.tickvals


def test_a_break_even_length_is_marked_on_the_line_with_its_interval():
    mark = draw([curve(at=(14.0, -2.0, 19.0))], "tokens").data[-1]
    assert (mark.x[0], mark.y[0]) == (14, 1)
    assert (mark.error_x.array[0], mark.error_x.arrayminus[0]) == (5, 14)  # never below 0 tokens


def test_names_are_no_tags():
    figure = draw([curve(at=(14.0, None, None))], "tokens")
    assert "<i>" not in "".join(str(trace.name) + str(trace.hovertext) for trace in figure.data)
