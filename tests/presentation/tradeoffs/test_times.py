"""Steps to 1, in two parts that meet where n carries no percentile any more."""

from hybrid.presentation.charts import Mark
from hybrid.presentation.tradeoffs.times import Percentile, Steps, draw


def steps(carried: float = 0.5, scale: float = 1.0) -> Steps:
    values = tuple(scale * v for v in (10.0, 20.0, 30.0, 40.0))
    marks = (Percentile(50, 20 * scale, True, "p50"), Percentile(99, 40 * scale, False, "p99"))
    return Steps(Mark("<u>a</u>", "#009e73"), values, (0.25, 0.5, 0.75, 1.0), carried, marks)


def test_the_steps_rise_from_0_to_1_in_two_parts_that_meet():
    sure, doubtful, _ = draw([steps()], "ms").data
    assert list(zip(sure.x, sure.y, strict=True)) == [(10, 0), (10, 0.25), (20, 0.5)]
    assert list(zip(doubtful.x, doubtful.y, strict=True)) == [(20, 0.5), (30, 0.75), (40, 1)]


def test_with_too_few_examples_all_of_it_is_doubtful():
    sure, doubtful, _ = draw([steps(0.0)], "ms").data
    assert (len(sure.x), len(doubtful.x)) == (1, 5)


def test_values_of_0_leave_the_axis_linear():
    zero = Steps(Mark("a", "#009e73"), (0.0, 900.0), (0.5, 1.0), 1.0, ())
    assert draw([zero], "ms").layout.xaxis.type is None


def test_names_are_no_tags():
    assert "<u>" not in "".join(f"{t.name}{t.hovertext}" for t in draw([steps()], "ms").data)
