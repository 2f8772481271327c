"""Whoever looks after every example and stops when it suits is wrong in at most 5 % of benchmarks."""

from statistics import NormalDist

import numpy as np
import pytest

from hybrid.compare.bootstrap import FEWEST, Array, Estimate
from hybrid.compare.claims import score_ratio_sequence
from hybrid.compare.sequential import (
    FIRST_LOOK,
    median_sequence,
    refused,
    score_sequence,
    sequential_n,
    standard_errors,
)
from hybrid.metrics import METRICS
from tests.compare.populations import POPULATION, population

BENCHMARKS, LIMIT, PART = 10_000, 2000, 500
REACH = np.array([standard_errors(n) if n >= FIRST_LOOK else 1e9 for n in range(1, LIMIT + 1)])


def peeked(differences: Array, gap: float) -> tuple[Array, Array]:
    """Look at running means (benchmarks, n) after every example: which were decided, and at which n."""
    n = np.arange(1, differences.shape[1] + 1)
    means = (differences + gap).cumsum(axis=1) / n
    variances = np.maximum(((differences + gap) ** 2).cumsum(axis=1) / n - means**2, 0) / np.maximum(n - 1, 1)
    outside = np.abs(means) > REACH[: len(n)] * np.sqrt(variances)
    outside &= n >= FIRST_LOOK
    return outside.any(axis=1), np.where(outside.any(axis=1), outside.argmax(axis=1) + 1, len(n))


@pytest.mark.parametrize("kind", ["normal", "heavy", "skewed"])
def test_ten_thousand_benchmarks_with_peeking_after_every_example(kind: str) -> None:
    """The truth is exactly the bar: every decision that is drawn is a false one."""
    draw, false = np.random.default_rng(12), 0
    draws = {
        "normal": lambda shape: draw.standard_normal(shape),
        "heavy": lambda shape: draw.standard_t(4, shape),
        "skewed": lambda shape: draw.exponential(size=shape) - 1,
    }
    for _ in range(BENCHMARKS // PART):
        false += peeked(draws[kind]((PART, LIMIT)), 0.0)[0].sum()
    assert false / BENCHMARKS <= 0.05


def test_a_clear_truth_takes_fewer_examples_than_a_fixed_n_of_equal_power() -> None:
    """A run until decided has a power above 99 % here; a fixed n with that must be planned larger."""
    draw, gap = np.random.default_rng(13), 0.15
    decided, stops = peeked(draw.standard_normal((2000, LIMIT)), gap)
    assert decided.mean() > 0.99
    fixed = ((NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.99)) / gap) ** 2
    assert stops.mean() < 0.6 * fixed


def test_ordinary_intervals_would_be_wrong_in_a_third_of_all_benchmarks() -> None:
    draw, n = np.random.default_rng(14), np.arange(1, 1001)
    means = draw.standard_normal((2000, 1000)).cumsum(axis=1) / n
    assert (np.abs(means) > 1.96 / np.sqrt(n))[:, FEWEST:].any(axis=1).mean() > 0.33


def test_shares_of_bleu_are_seldom_decided_falsely() -> None:
    """The score of a corpus with its jackknife, looked at after every tenth sentence."""
    draw, bleu, most = np.random.default_rng(15), METRICS["bleu"], 400
    baseline, system = population(draw)
    truth = bleu.score(system.sum(axis=0), POPULATION) / bleu.score(baseline.sum(axis=0), POPULATION)
    false = 0
    for _ in range(200):
        places = draw.integers(0, POPULATION, most)
        looks = (
            score_ratio_sequence(bleu, system[places[:n]], baseline[places[:n]])
            for n in range(FIRST_LOOK, most, 10)
        )
        false += any(look is not None and look.excludes(float(truth)) for look in looks)
    assert false / 200 <= 0.05


def test_medians_are_never_refused_too_often() -> None:
    """Exact at any n: looked at after every example from the first on."""
    table = np.array(
        [[refused(below, n) if below <= n else False for below in range(301)] for n in range(301)]
    )
    below = np.random.default_rng(16).integers(0, 2, (BENCHMARKS, 300)).cumsum(axis=1)
    assert table[np.arange(1, 301), below].any(axis=1).mean() <= 0.05


def test_a_median_has_an_interval_of_ratios() -> None:
    assert median_sequence(np.full(6, 4.0)) == Estimate(4.0, None, None, 6)  # seven alike are the fewest
    assert median_sequence(np.array([4.0] * 7 + [np.nan])) == Estimate(4.0, 4.0, 4.0, 7)
    assert median_sequence(np.array([np.nan])) is None
    ratios = np.exp(np.random.default_rng(17).normal(np.log(4), 0.3, 200))
    sequence = median_sequence(ratios)
    assert sequence.low < sequence.value < sequence.high
    below = int((ratios < sequence.low).sum())
    assert refused(below - 1, 200)
    assert not refused(below + 1, 200)


def test_no_interval_before_the_first_look() -> None:
    assert score_sequence(0.99, 0.01, FIRST_LOOK - 1).low is None
    assert score_sequence(0.99, float("nan"), 500).low is None
    at = score_sequence(0.99, 0.01, 500)
    assert at.high - 0.99 == pytest.approx(0.99 - at.low) == pytest.approx(0.01 * standard_errors(500))
    assert 2.5 < standard_errors(1000) < 3.3


def test_the_n_that_a_sequence_needs() -> None:
    """By this n eight of ten benchmarks have decided, or some more that did so on the way."""
    draw = np.random.default_rng(18)
    pilot = score_sequence(1.0, 1 / 200**0.5, 200)
    n = sequential_n(pilot, 0.9, 0.8)
    assert 300 < n < LIMIT
    decided, _ = peeked(draw.standard_normal((2000, n)), 0.1)
    assert 0.8 < decided.mean() < 0.9
    assert sequential_n(Estimate(1.0, None, None, 9), 0.9, 0.8) is None
    assert sequential_n(pilot, 1.0, 0.8) is None
    assert sequential_n(pilot, 1.0 - 1e-9, 0.8) is None
