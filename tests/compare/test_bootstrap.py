"""Resamples are full-size and shared; p-values say what intervals say; medians are medians."""

import math
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu import significance
from sacrebleu.metrics import BLEU, CHRF, TER

from hybrid.compare.bootstrap import (
    FEWEST,
    Estimate,
    Resamples,
    difference,
    estimate,
    median_estimate,
    medians,
    p_value,
    share_estimate,
    sums,
)
from hybrid.metrics import METRICS, Case

TEXT = "das alte Haus am Fluss ist sehr groß und viele Leute wohnen dort seit vielen Jahren"
WORDS = TEXT.split()


@pytest.mark.parametrize("n", [1, 2, 37])
def test_resamples_are_full_size_and_repeatable(n: int) -> None:
    counts = Resamples(50, seed=3).counts(n)
    assert counts.shape == (50, n)
    assert (counts.sum(axis=1) == n).all()
    assert (counts == Resamples(50, seed=3).counts(n)).all()
    assert n == 1 or (counts != Resamples(50, seed=4).counts(n)).any()


@pytest.mark.parametrize(("count", "n"), [(0, 10), (3, 10), (12, 84), (84, 84), (1, 10_000)])
def test_a_share_has_wilsons_interval(count: int, n: int) -> None:
    """At its ends the share is as unlikely as 95 % allow: (p - share)^2 = z^2 p (1 - p) / n."""
    share = share_estimate(count, n)
    assert (share.value, share.n) == (pytest.approx(100 * count / n), n)
    assert share.low is not None
    assert share.high is not None
    assert 0 <= share.low < share.high <= 100
    for end in (share.low / 100, share.high / 100):
        assert abs(end - count / n) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / n), abs=1e-6)


def test_a_share_of_too_few_answers_has_no_interval() -> None:
    assert share_estimate(1, FEWEST - 1).low is None


def test_examples_are_drawn_evenly() -> None:
    counts = Resamples(4000).counts(20)
    assert counts.mean(axis=0) == pytest.approx(np.ones(20), abs=0.08)
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 20) ** 20, abs=0.02)


@pytest.mark.parametrize("n", [3, 700])
def test_sums_are_those_of_the_drawn_examples(n: int) -> None:
    counts, statistics = Resamples(9).counts(n), np.random.default_rng(0).random((n, 4))
    for row, summed in zip(counts, sums(statistics, counts), strict=True):
        assert summed == pytest.approx(statistics[np.repeat(np.arange(n), row)].sum(axis=0))


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_medians_are_those_of_the_drawn_examples(n: int) -> None:
    counts, values = Resamples(40).counts(n), np.random.default_rng(1).random(n)
    for row, median in zip(counts, medians(values, counts), strict=True):
        assert median == pytest.approx(np.median(np.repeat(values, row)))


def test_many_resamples_take_little_memory() -> None:
    n, resamples = 500, 20_000
    values = np.random.default_rng(1).random(n)
    tracemalloc.start()
    try:
        counts = Resamples(resamples).counts(n)
        drawing = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        medians(values, counts)
        working = tracemalloc.get_traced_memory()[1] - counts.nbytes
    finally:
        tracemalloc.stop()
    assert counts.nbytes == n * resamples
    assert drawing < 1.5 * n * resamples
    assert working < 2 * n * resamples


@pytest.mark.parametrize("n", [255, 256, 257, 1000])
def test_counts_of_any_number_of_examples_fit(n: int) -> None:
    assert (Resamples(50).counts(n).sum(axis=1) == n).all()


@pytest.mark.parametrize("deviations", [0.5, 1.0, 1.96, 2.5])
def test_p_is_two_sided(deviations: float) -> None:
    resampled = np.random.default_rng(4).normal(deviations, 1, 20_000)
    expected = math.erfc(deviations / math.sqrt(2))
    assert p_value(resampled) == pytest.approx(expected, abs=0.01)
    assert p_value(-resampled) == pytest.approx(p_value(resampled))


@given(st.integers(40, 300), st.integers(0, 2**32 - 1), st.floats(-4, 4), st.booleans())
@settings(max_examples=200, deadline=None)
def test_p_is_below_5_percent_exactly_where_the_interval_leaves_out_0(
    resamples: int, seed: int, shift: float, rounded: bool
) -> None:
    resampled = np.random.default_rng(seed).normal(shift, 1, resamples)
    if rounded:  # many resamples that are exactly 0, as of systems that seldom differ
        resampled = np.round(resampled)
    result = difference(shift, resampled, np.zeros(resamples), 50, 30.0)
    assert (result.p_value < 0.05) == result.decided
    assert 2 / (resamples + 1) <= result.p_value <= 1


def test_values_that_are_missing_are_left_out_of_every_resample() -> None:
    counts = Resamples(60).counts(5)
    values = np.array([3.0, np.nan, 1.0, np.nan, 2.0])
    for row, median in zip(counts, medians(values, counts), strict=True):
        drawn = np.repeat(values, row)
        drawn = drawn[~np.isnan(drawn)]
        assert math.isnan(median) if not drawn.size else median == np.median(drawn)
    median_of_three = median_estimate(values, counts)
    assert median_of_three is not None
    assert (median_of_three.value, median_of_three.low, median_of_three.n) == (2.0, None, 3)
    wide = median_estimate(np.tile(values, 3), Resamples(60).counts(15))
    assert wide is not None
    assert (wide.low, wide.high, wide.n) == (1.0, 3.0, 9)
    assert median_estimate(np.array([np.nan, np.nan]), Resamples(5).counts(2)) is None


def test_intervals_are_percentiles() -> None:
    interval = estimate(50.0, np.arange(101.0), 10)
    assert (interval.low, interval.high) == (2.5, 97.5)
    assert interval.excludes(2.4)
    assert not interval.excludes(2.5)


def test_one_example_and_equal_values() -> None:
    for few in range(1, FEWEST):  # of which no two-sided test at 5 % can decide anything
        result = difference(-9.0, np.full(100, 1.0), np.full(100, 10.0), few, 10.0)
        assert (result.low, result.high, result.p_value, result.decided) == (None, None, None, False)
    least = difference(-9.0, np.full(100, 1.0), np.full(100, 10.0), FEWEST, 10.0)
    assert (least.low, least.decided, least.p_value) == (-9.0, True, 2 / 101)
    same = difference(0.0, np.full(100, 3.0), np.full(100, 3.0), 6, 3.0)
    assert (same.low, same.high, same.p_value, same.decided) == (0.0, 0.0, 1.0, False)
    assert estimate(4.0, np.full(100, 4.0), 6) == Estimate(4.0, 4.0, 4.0, 6)


def corpus(n: int, seed: int) -> tuple[list[str], list[str], list[str]]:
    """References and two systems, the second a little worse."""
    draw = random.Random(seed)
    references = [draw.choices(WORDS, k=draw.randint(6, 15)) for _ in range(n)]

    def system(right: float) -> list[str]:
        return [
            " ".join(w if draw.random() < right else draw.choice(WORDS) for w in row) for row in references
        ]

    return [" ".join(row) for row in references], system(0.80), system(0.775)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_intervals_agree_with_sacrebleus_paired_bootstrap(seed: int) -> None:
    resamples, n = 1000, 80
    references, baseline, system = corpus(n, seed)
    metrics = {"bleu": BLEU(), "chrf": CHRF(), "ter": TER()}
    named = [("baseline", baseline), ("system", system)]
    _, results = significance.PairedTest(named, metrics, [references], "bs", resamples)()
    counts = Resamples(resamples).counts(n)
    for name, expected in zip(
        metrics, (results["BLEU"][1], results["chrF2"][1], results["TER"][1]), strict=True
    ):
        metric = METRICS[name]
        rows = [
            np.array(
                [
                    metric.statistics(Case(text, [reference]))
                    for text, reference in zip(texts, references, strict=True)
                ]
            )
            for texts in (system, baseline)
        ]
        own = estimate(expected.score, metric.score(sums(rows[0], counts), n), n)
        assert (own.high - own.low) / 2 == pytest.approx(expected.ci, rel=0.15)
