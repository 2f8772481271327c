"""Made-up systems whose true scores are known: what benchmarks are drawn from."""

import numpy as np

from hybrid.compare.bootstrap import Array

POPULATION = 20_000


def population(draw: np.random.Generator, gap: float = 0.02) -> tuple[Array, Array]:
    """BLEU statistics of two systems on sentences of 5 to 40 words that are hard for both alike."""
    words = draw.integers(5, 40, POPULATION)
    reference_words = np.maximum(1, words + draw.integers(-3, 4, POPULATION))
    skill = draw.beta(4, 2, POPULATION)

    def statistics(skill: Array) -> Array:
        totals = [np.maximum(words - order, 0) for order in range(4)]
        correct = [draw.binomial(total, skill ** (order + 1)) for order, total in enumerate(totals)]
        return np.column_stack([words, reference_words, *correct, *totals]).astype(np.float64)

    other = np.clip(skill - gap + 0.05 * draw.standard_normal(POPULATION), 0, 1)
    return statistics(skill), statistics(other)
