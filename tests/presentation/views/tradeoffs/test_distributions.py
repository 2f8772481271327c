"""Percentiles as numpy has them, the interval by a plain bootstrap of examples, and the ECDF by counting."""

import itertools

import numpy as np
import pytest

from hybrid.compare.bootstrap import Resamples
from hybrid.presentation.views.tradeoffs.distributions import PERCENTS, distribution, ecdf


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_interval_of_the_median_resamples_examples_with_all_their_repeats(repeats: int):
    draw, n, draws = np.random.default_rng(4), 31, Resamples(400, seed=2)
    values = draw.lognormal(3, 0.5, (n, repeats))
    units = np.repeat(np.arange(n), repeats)
    found = distribution(values.ravel(), units, draws)
    assert found is not None
    medians = [np.median(np.repeat(values, counts, axis=0)) for counts in draws.counts(n)]
    assert found.p50.value == pytest.approx(np.median(values))
    assert (found.p50.low, found.p50.high) == pytest.approx(tuple(np.percentile(medians, [2.5, 97.5])))
    assert (found.p50.n, found.answers) == (n, n * repeats)
    assert found.percentiles == pytest.approx(np.percentile(values, PERCENTS).tolist())


def test_what_was_not_measured_is_left_out():
    values = np.array([1.0, np.nan, 3.0, np.nan])
    found = distribution(values, np.array([0, 1, 2, 1]), Resamples(50))
    assert found is not None
    assert (found.p50.value, found.p50.n, found.answers) == (2.0, 2, 2)
    assert distribution(np.full(3, np.nan), np.arange(3), Resamples(50)) is None


def test_one_example_carries_no_interval_however_often_it_is_repeated():
    found = distribution(np.array([1.0, 2.0, 9.0]), np.zeros(3, int), Resamples(50))
    assert found is not None
    assert (found.p50.value, found.p50.low, found.p50.n) == (2.0, None, 1)
    assert found.carried == ()
    assert found.carried_share == 0


@pytest.mark.parametrize(("n", "highest"), [(5, 0), (6, 0.5), (36, 0.9), (367, 0.95), (368, 0.99)])
def test_percentiles_need_enough_examples(n: int, highest: float):
    found = distribution(np.arange(1.0, n + 1), np.arange(n), Resamples(20))
    assert found is not None
    assert found.carried_share == highest


@pytest.mark.parametrize("n", [1, 2, 50, 5000])
def test_an_ecdf_rises_to_1_and_is_exact_where_it_is_drawn(n: int):
    values = np.sort(np.random.default_rng(n).integers(0, 300, n).astype(float))
    steps, shares = ecdf(values, most=100)
    assert len(steps) <= 100
    assert (steps[0], steps[-1], shares[-1]) == (values[0], values[-1], 1.0)
    assert all(a < b for a, b in itertools.pairwise(steps))
    assert all(a < b for a, b in itertools.pairwise(shares))
    assert list(shares) == [sum(value <= step for value in values) / n for step in steps]
