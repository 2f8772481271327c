"""Costs come out of times that were made of them."""

import itertools

import numpy as np
import pytest

from hybrid.sizing.fitting import Sample, fitted, nonnegative

COSTS = {"fixed": 3e-5, "layers": 2e-6, "weights": 5e-10}


@pytest.mark.parametrize("seed", range(20))
def test_no_choice_of_terms_comes_nearer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, target = rng.normal(size=(12, 4)), rng.normal(size=12)
    solution = nonnegative(matrix, target)
    assert solution.min() >= 0
    best = np.sum(target**2)
    for free in itertools.product([False, True], repeat=4):
        if any(free):
            part = np.linalg.lstsq(matrix[:, free], target)[0]
            if part.min() >= 0:
                best = min(best, np.sum((matrix[:, free] @ part - target) ** 2))
    assert np.sum((matrix @ solution - target) ** 2) == pytest.approx(best, rel=1e-9)


def test_scales_of_any_size() -> None:
    truth = np.array([1e-9, 2.0, 0.0])
    matrix = np.random.default_rng(0).uniform(size=(8, 3)) * [1e9, 1.0, 1e-3]
    assert nonnegative(matrix, matrix @ truth) == pytest.approx(truth, rel=1e-6, abs=1e-6)


def test_a_term_without_amounts_costs_nothing() -> None:
    solution = nonnegative(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([3.0, 6.0]))
    assert solution.tolist() == pytest.approx([3.0, 0.0])


def sample(size: tuple[int, int], layers: int, weights: float, factor: float = 1.0) -> Sample:
    terms = {"fixed": 1.0, "layers": float(layers), "weights": weights}
    seconds = factor * sum(COSTS[name] * amount for name, amount in terms.items())
    return Sample(size, terms, seconds, seconds)


def test_costs_of_each_size_and_shared_ones() -> None:
    samples = [
        sample(size, layers, weights, factor)
        for size, factor in (((1, 32), 1.0), ((8, 32), 4.0))
        for layers, weights in ((2, 1e6), (8, 1e6), (3, 7e6), (4, 2e7))
    ]
    single, many = fitted(samples)
    assert (single.batch, single.tokens, many.batch, many.tokens) == (1, 32, 8, 32)
    assert single.seconds == pytest.approx(COSTS)
    assert many.seconds == pytest.approx({name: 4 * cost for name, cost in COSTS.items()})
    alike = fitted(
        [*samples[:4], *(sample((8, 32), 2 + i, 1e6 * 3**i) for i in range(3))], shared=("layers",)
    )
    assert [costs.seconds["layers"] for costs in alike] == pytest.approx([2e-6, 2e-6])
