"""Where a line through paired differences crosses 0: known crossings, and when none may be claimed."""

import numpy as np
import pytest

from hybrid.compare.bootstrap import Resamples
from hybrid.presentation.views.tradeoffs.break_even import LEAST, break_even


def around(
    slope: float, crossing: float, noise: float, n: int = 80, seed: int = 1, low: int = 5, high: int = 60
):
    """Lengths and gains on a line with normal noise."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(low, high + 1, n).astype(float)
    lengths[:2] = low, high
    return lengths, slope * (lengths - crossing) + draw.normal(0, noise, n)


@pytest.mark.parametrize(
    ("slope", "kind", "words"), [(2.0, "from", " on "), (-2.0, "up to", "faster up to ")]
)
def test_a_known_crossing_is_found_with_an_interval_around_it(slope: float, kind: str, words: str):
    lengths, gains = around(slope, 20, noise=8)
    found = break_even(lengths, gains, Resamples())
    a, b = np.polyfit(lengths, gains, 1)
    assert found.kind == kind
    assert found.at is not None
    assert found.at.value == pytest.approx(-b / a)
    assert found.at.low < 20 < found.at.high
    assert found.at.high - found.at.low < 6
    assert (found.shortest, found.longest, found.n) == (5, 60, 80)
    assert words in found.sentence
    assert "5 to 60 tokens" in found.sentence


def test_without_noise_the_crossing_is_exact():
    lengths, gains = around(0.5, 31.5, noise=0)
    at = break_even(lengths, gains, Resamples(200)).at
    assert at is not None
    assert (at.value, at.low, at.high) == pytest.approx((31.5, 31.5, 31.5))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    draws, held = Resamples(300), 0
    for seed in range(150):
        at = break_even(*around(1.0, 25, noise=12, n=50, seed=seed), draws).at
        held += at is not None and at.low <= 25 <= at.high
    assert 0.87 <= held / 150 <= 0.99


@pytest.mark.parametrize(("sign", "kind"), [(1, "faster"), (-1, "slower")])
def test_a_line_far_from_0_everywhere_has_no_break_even(sign: int, kind: str):
    lengths, gains = around(1.0, -200, noise=5)
    found = break_even(lengths, sign * gains, Resamples())
    assert (found.kind, found.at) == (kind, None)
    assert found.sentence == f"{kind} at every measured length (5 to 60 tokens)"


def test_a_crossing_just_outside_is_told_as_outside():
    lengths, gains = around(2.0, 8, noise=1, low=10)
    found = break_even(lengths, gains, Resamples())
    assert found.kind == "faster"
    assert found.at is not None
    assert found.at.value == pytest.approx(8, abs=0.5)
    assert "the line would cross at about 8 tokens" in found.sentence
    assert "cross" not in found.short


def test_two_systems_that_do_not_differ_have_no_break_even_length():
    lengths, gains = around(0.0, 0, noise=5)
    assert break_even(lengths, gains, Resamples()).kind == "unclear"


def test_too_few_examples_or_one_length_carry_no_line():
    lengths, gains = around(2.0, 20, noise=0, n=LEAST - 1)
    few = break_even(lengths, gains, Resamples(50))
    assert (few.kind, few.at) == ("unknown", None)
    assert "9 examples" in few.sentence
    same = break_even(np.full(30, 32.0), np.arange(30.0), Resamples(50))
    assert same.kind == "unknown"
    assert "all lengths are 32 tokens" in same.sentence
    none = break_even(np.array([]), np.array([]), Resamples(50))
    assert (none.kind, none.n) == ("unknown", 0)
