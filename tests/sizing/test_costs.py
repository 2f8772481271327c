"""Costs come out of times that were made of them; between sizes, and beyond as the device's products grow."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hybrid.measuring.device import Machine
from hybrid.schema import CPU
from hybrid.sizing import Costs
from hybrid.sizing.costs import Products, Sample, between, fitted, nonnegative

LINE = tuple(Costs(1, tokens, {"fixed": seconds}) for tokens, seconds in ((32, 2.0), (128, 8.0), (512, 16.0)))
ONE = {"fixed": 1.0}
# A weight takes 2 s with one row, 4 s with 8, and 200 s with 100; beyond that 2 s a row.
PRODUCTS = Products.of(Machine(CPU, "float32", 1, 1e10, (), ((1.0, 1.0), (8.0, 4.0), (100.0, 1.0))))

COSTS = {"fixed": 3e-5, "layers": 2e-6, "weights": 5e-10}  # of which times are made


@pytest.mark.parametrize(
    ("tokens", "seconds"), [(32, 2), (128, 8), (512, 16), (64, 4), (256, 128**0.5), (16, 2), (1024, 16 + 14)]
)
def test_along_tokens(tokens: int, seconds: float) -> None:
    assert between(LINE, (1, tokens), ONE, PRODUCTS) == pytest.approx(seconds)


def test_along_prompts_and_tokens() -> None:
    twice = (replace(costs, batch=8, seconds={"fixed": 2 * costs.seconds["fixed"]}) for costs in LINE)
    square = (*LINE, *twice)
    assert between(square, (8, 128), ONE, PRODUCTS) == pytest.approx(16)
    assert between(square, (8**0.5, 64), ONE, PRODUCTS) == pytest.approx(4 * 2**0.5)
    # what is paid once stays, and what it grew by since the smallest size goes on growing
    assert between(square, (15, 32), ONE, PRODUCTS) == pytest.approx(2 + 2 * 15 / 8)


@pytest.mark.parametrize(
    ("rows", "seconds"), [(0.5, 2), (1, 2), (8, 4), (100, 200), (8**0.5, 8**0.5), (250, 500)]
)
def test_products_of_so_many_rows(rows: float, seconds: float) -> None:
    assert PRODUCTS.seconds(rows) == pytest.approx(seconds)


def test_beyond_what_was_measured_products_grow_with_their_rows() -> None:
    costs = (Costs(1, 8, {"fixed": 3.0, "weights": 1.0}), Costs(1, 100, {"fixed": 3.0, "weights": 20.0}))
    terms = {"fixed": 1.0, "weights": 1.0}
    assert between(costs, (1, 100), terms, PRODUCTS) == pytest.approx(23)
    assert between(costs, (1, 200), terms, PRODUCTS) == pytest.approx(3 + 20 * 2)
    assert between(costs, (3, 200), terms, PRODUCTS) == pytest.approx(3 + 20 * 6)
    assert between(costs, (1, 1), terms, PRODUCTS) == pytest.approx(3 + 1 / 2)


def test_attention_is_never_cheaper_than_arithmetic_allows_beyond_what_was_measured() -> None:
    assert PRODUCTS.pair_s == 1.0  # 4 operations at the 4 a second that 8 rows reach
    unknown, known = Costs(1, 10, {}), Costs(1, 10, {"pairs": 3.0})
    assert between([unknown], (1, 10), {"pairs": 100.0}, PRODUCTS) == 0
    assert between([unknown], (1, 20), {"pairs": 400.0}, PRODUCTS) == pytest.approx(300)
    assert between([known], (1, 20), {"pairs": 400.0}, PRODUCTS) == pytest.approx(1200)


def test_caches_are_read_for_each_answer() -> None:
    step = (Costs(1, 0, {"cache": 1.0}), Costs(4, 0, {"cache": 2.0}))
    assert between(step, (12, 0), {"cache": 5.0}, PRODUCTS) == pytest.approx(3 * 2 * 5)


def test_more_never_takes_less_than_fewer_did() -> None:
    falling = (Costs(1, 10, {"fixed": 2.0}), Costs(1, 20, {"fixed": 1.0}))
    assert [between(falling, (1, tokens), ONE, PRODUCTS) for tokens in (10, 15, 20, 100)] == [2.0] * 4
    nothing = Costs(1, 10, {})
    assert between((nothing, Costs(1, 20, {"fixed": 4.0})), (1, 15), ONE, PRODUCTS) == 2.0


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
