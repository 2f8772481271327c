"""95 % intervals hold the truth in 95 % of simulated benchmarks, give or take 2; over blocks 3."""

import numpy as np
import pytest

from hybrid.compare.bootstrap import (
    Estimate,
    Resamples,
    estimate,
    median_estimate,
    nested_median,
    sums,
)
from hybrid.compare.paired import GATE_QUALITY, gate_verdict
from hybrid.metrics import METRICS
from tests.compare.populations import POPULATION, population

DRAWS = 1000
BLOCK_DRAWS = 300


@pytest.mark.parametrize("n", [50, 250])
def test_median_speed_up(n: int) -> None:
    draw, counts, held = np.random.default_rng(5), Resamples(400).counts(n), 0
    for _ in range(DRAWS):
        median = median_estimate(4 * np.exp(0.4 * draw.standard_t(4, n)), counts)
        held += not median.excludes(4.0)
    assert held / DRAWS == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("n", [60, 270])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.15])
@pytest.mark.parametrize("visits", [1, 3])
def test_median_speed_up_of_three_blocks(n: int, spread: float, visits: int) -> None:
    """spread: between blocks; 10 % between examples. visits: in how many of the blocks an example is."""
    draw, counts = np.random.default_rng(11), Resamples(80).counts(n)
    held = held_over_examples = 0
    blocks = (np.arange(n)[:, np.newaxis] + np.arange(visits)) % 3
    for _ in range(BLOCK_DRAWS):
        logs = (
            draw.normal(0, 0.1, (n, 1))
            + draw.normal(0, spread, 3)[blocks]
            + draw.normal(0, 0.02, blocks.shape)
        )
        by_block = np.full((n, 3), np.nan)
        np.put_along_axis(by_block, blocks, 4 * np.exp(logs), axis=1)
        values = 4 * np.exp(np.median(logs, axis=1))
        ratio, over_examples = nested_median(values, by_block, counts), median_estimate(values, counts)
        held += not ratio.excludes(4.0)
        held_over_examples += not over_examples.excludes(4.0)
        assert ratio.value == over_examples.value
    assert held / BLOCK_DRAWS == pytest.approx(0.95, abs=0.03)
    assert spread == 0 or held_over_examples / BLOCK_DRAWS < 0.75  # which cannot see blocks


def test_difference_in_bleu() -> None:
    n, bleu = 150, METRICS["bleu"]
    draw, counts, held = np.random.default_rng(6), Resamples(400).counts(n), 0
    baseline, system = population(draw)
    own, base = (float(bleu.score(part.sum(axis=0), POPULATION)) for part in (system, baseline))
    assert -4 < own - base < -1
    for _ in range(DRAWS):
        places = draw.integers(0, POPULATION, n)
        both = sums(np.hstack([system[places], baseline[places]]), counts)
        values = bleu.score(both[:, :10], n) - bleu.score(both[:, 10:], n)
        held += not estimate(0.0, values, n).excludes(own - base)
    assert held / DRAWS == pytest.approx(0.95, abs=0.02)


def test_an_equal_system_seldom_misses_the_gate() -> None:
    """A point set against 99 % would have it miss the gate in one of four benchmarks."""
    n, bleu = 270, METRICS["bleu"]
    draw, counts, misses, below = np.random.default_rng(7), Resamples(400).counts(n), 0, 0
    baseline, system = population(draw, gap=0.0)
    level = float(bleu.score(baseline.sum(axis=0), POPULATION) / bleu.score(system.sum(axis=0), POPULATION))
    for _ in range(DRAWS):
        places = draw.integers(0, POPULATION, n)
        both = np.hstack([system[places], baseline[places]])
        scores, base_scores = (
            bleu.score(sums(both, counts)[:, part], n) for part in (slice(10), slice(10, 20))
        )
        whole = both.sum(axis=0)
        ratio = level * float(bleu.score(whole[:10], n) / bleu.score(whole[10:], n))
        quality = estimate(ratio, level * scores / base_scores, n)
        misses += gate_verdict(quality, Estimate(1.0, 1.0, 1.0, n))[0] == "misses"
        below += ratio < GATE_QUALITY
    assert misses / DRAWS < 0.03
    assert below / DRAWS > 0.2
