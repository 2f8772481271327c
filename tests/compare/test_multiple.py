"""Several systems at once: of those that equal the baseline, seldom is any called significant."""

from dataclasses import replace

import numpy as np
import pytest

from hybrid.compare import compare_runs
from hybrid.compare.bootstrap import Difference, Resamples, difference
from hybrid.compare.multiple import _t_quantile, holm, t_test
from hybrid.compare.power import detectable
from hybrid.compare.verdict import MDD, TOGETHER
from hybrid.schema import System
from tests.compare.fake import make_run

N = 100


def of_p(p: float, sign: int = -1, n: int = N) -> Difference:
    """A difference of 1 whose t-test has this p-value."""
    half = _t_quantile(0.025, n - 1) / _t_quantile(p / 2, n - 1)
    return Difference(sign, sign - half, sign + half, n, p, 30.0)


@pytest.mark.parametrize(
    ("tail", "freedom", "t"),
    [(0.025, 5, 2.571), (0.005, 10, 3.169), (0.0005, 10, 4.587), (0.0005, 100, 3.3905), (0.025, 269, 1.9688)],
)
def test_students_t(tail: float, freedom: int, t: float) -> None:
    assert _t_quantile(tail, freedom) == pytest.approx(t, rel=0.01)


def test_holms_p_values() -> None:
    """As R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") gives them."""
    corrected = holm(dict(enumerate(map(of_p, (0.01, 0.04, 0.03, 0.005)))))
    assert [corrected[i].p_value for i in range(4)] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [corrected[i].decided for i in range(4)] == [True, False, False, True]
    assert [corrected[i].level for i in range(4)] == pytest.approx([1 - 0.05 / 3, 0.975, 0.975, 1 - 0.05 / 4])
    assert {difference.together for difference in corrected.values()} == {4}
    assert corrected[1].uncorrected == of_p(0.04)


def test_one_difference_and_those_without_an_interval_stay() -> None:
    few = Difference(-1.0, None, None, 4, None, 30.0)
    assert holm({"a": of_p(0.03), "b": few}) == {"a": of_p(0.03), "b": few}
    assert holm({}) == {}


def test_intervals_leave_out_0_exactly_where_p_is_below_a_twentieth() -> None:
    draw = np.random.default_rng(2)
    for _ in range(300):
        n, systems = int(draw.integers(6, 300)), int(draw.integers(2, 30))
        family = {}
        for place in range(systems):
            value, below, above = draw.normal(0, 2), *draw.exponential(1, 2)
            family[place] = Difference(value, value - below, value + above, n, 0.5, 30.0)
        for corrected in holm(family).values():
            assert corrected.decided == (corrected.p_value < 0.05)
            assert corrected.low <= corrected.value <= corrected.high


@pytest.mark.parametrize(
    ("alone", "p"),
    [
        (Difference(0.0, 0.0, 0.0, 60, 1.0), 1.0),
        (Difference(-5.0, -5.0, -5.0, 6, 0.002), 2**-5),  # a sign test of six shows no less
        (Difference(0.1, 0.3, 0.9, 60, 0.002), None),  # bias has put the value outside
        (Difference(-5.0, -5.0, -5.0, 5000, 0.002), 1e-300),
    ],
)
def test_odd_intervals(alone: Difference, p: float | None) -> None:
    if p is not None:
        assert t_test(alone) == pytest.approx(p)
    for corrected in holm({"a": alone, "b": of_p(0.9)}).values():
        assert corrected.low <= corrected.value <= corrected.high
        assert corrected.decided == (corrected.p_value < 0.05)


def test_of_ten_equal_systems_seldom_is_any_significant() -> None:
    """And one that differs by four standard errors is found among thirty, where 1,000 resamples could not."""
    draw, counts = np.random.default_rng(8), Resamples(1000).counts(N).astype(float)
    any_alone = any_together = finds = 0
    for _ in range(300):
        means = draw.normal(0, 1, (30, N)) @ counts.T / N
        means -= means.mean(axis=1, keepdims=True)  # of their resamples
        values = draw.normal(0, 0.1, 30)
        alone = {
            place: difference(value, value + resampled, np.zeros(1000), N, 30.0)
            for place, (value, resampled) in enumerate(zip(values.tolist(), means, strict=True))
        }
        ten = {place: alone[place] for place in range(10)}
        any_alone += any(one.decided for one in ten.values())
        any_together += any(one.decided for one in holm(ten).values())
        shifted = difference(0.4, 0.4 + means[0], np.zeros(1000), N, 30.0)
        finds += holm(alone | {0: shifted})[0].decided
    assert any_alone / 300 > 0.25
    assert any_together / 300 < 0.05 + 0.03
    assert finds / 300 > 0.8


def test_a_comparison_corrects_its_systems_and_says_so() -> None:
    stored = make_run(40)
    llm, *others = compare_runs([stored]).systems
    assert llm.against is None
    assert {d.together for system in others for d in system.against.differences.values()} == {2}
    remarks = compare_runs([stored]).remarks
    assert TOGETHER in remarks
    pair = make_run(40, systems=(System("llm"), System("hybrid")))
    assert TOGETHER not in compare_runs([pair]).remarks
    assert compare_runs([pair]).systems[1].against.differences["bleu"].uncorrected is None


def test_the_minimum_detectable_difference() -> None:
    """2.80 standard errors of a 95 % interval: 1.96 for the level and 0.84 for the power."""
    alone = Difference(-0.2, -1.18, 0.78, N, 0.7)
    assert detectable(alone) == pytest.approx(1.4, abs=0.01)
    corrected = replace(alone, low=-1.4, high=1.0, level=0.975, uncorrected=alone)
    assert detectable(corrected) == pytest.approx((2.2414 + 0.8416) * 0.5, abs=0.01)
    assert detectable(Difference(0.0, 0.0, 0.0, N, 1.0)) is None
    assert detectable(Difference(-0.2, None, None, 3, None)) is None
    assert "80 %" in MDD


def test_a_difference_that_n_detects_is_found_in_eight_of_ten() -> None:
    draw, error = np.random.default_rng(9), 0.5
    alone = Difference(0.0, -1.959964 * error, 1.959964 * error, N, 1.0)
    values = draw.normal(detectable(alone), error, 4000)
    assert np.mean(np.abs(values) > 1.959964 * error) == pytest.approx(0.8, abs=0.02)
