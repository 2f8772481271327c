"""Costs from measured times: what one of each term takes, by least squares of relative errors.

A cost cannot be negative, so the least squares are non-negative ones (Lawson
and Hanson 1974, "Solving Least Squares Problems", chapter 23).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid.sizing.cost_features import Terms
from hybrid.sizing.costs import Costs

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One measured time. size: prompts at once, tokens of each. scale: what its error is relative to."""

    size: tuple[int, int]
    terms: Terms
    seconds: float
    scale: float


def fitted(samples: Sequence[Sample], shared: Sequence[str] = ()) -> tuple[Costs, ...]:
    """Costs for each size, all found at once. shared: terms that cost the same at any size."""
    sizes = sorted({sample.size for sample in samples})
    names = sorted({name for sample in samples for name in sample.terms})
    own = [(name, size) for name in names if name not in shared for size in sizes]
    common = [(name, None) for name in names if name in shared]
    places = {key: index for index, key in enumerate([*own, *common])}

    def place(name: str, size: tuple[int, int]) -> int:
        return places[name, None if name in shared else size]

    matrix = np.zeros((len(samples), len(places)))
    for line, sample in zip(matrix, samples, strict=True):
        for name, amount in sample.terms.items():
            line[place(name, sample.size)] = amount / sample.scale
    costs = nonnegative(matrix, np.array([sample.seconds / sample.scale for sample in samples]))
    return tuple(Costs(*size, {name: float(costs[place(name, size)]) for name in names}) for size in sizes)


def nonnegative(matrix: Array, target: Array) -> Array:
    """Find the x >= 0 for which matrix @ x comes nearest to `wanted`."""
    scale = np.abs(matrix).max(axis=0)
    scale[scale == 0] = 1.0
    scaled = matrix / scale
    x = np.zeros(scaled.shape[1])
    free = np.zeros(len(x), dtype=bool)
    for _ in range(3 * len(x)):
        gain = scaled.T @ (target - scaled @ x)
        gain[free] = -np.inf
        if gain.max(initial=-np.inf) <= 1e-10:
            break
        free[int(gain.argmax())] = True
        x = _inside(scaled, target, x, free)
    return np.asarray(x / scale, dtype=np.float64)


def _inside(matrix: Array, target: Array, x: Array, free: NDArray[np.bool_]) -> Array:
    """Least squares over the columns that are `free`, of which those that would turn negative are not."""
    while True:
        best = np.zeros(len(x))
        best[free] = np.linalg.lstsq(matrix[:, free], target, rcond=None)[0]
        below = free & (best <= 0)
        if not below.any():
            return best
        step = (x[below] / (x[below] - best[below])).min()
        x = x + step * (best - x)
        free &= x > 1e-14
        x[~free] = 0.0
